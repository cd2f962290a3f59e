-- What the images are, by their headers alone: no pixel is decoded and no model is loaded.
SELECT image_format(image) AS format, count(*) AS images,
       min(image_width(image)) AS narrowest, max(image_width(image)) AS widest,
       min(image_height(image)) AS lowest, max(image_height(image)) AS highest
FROM 'examples/corpus/captions.parquet'
GROUP BY image_format(image)
ORDER BY images DESC;
