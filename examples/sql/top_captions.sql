-- The ten captions that fit their pictures best.
SELECT uid, text, width, height, unifilter(image, text) AS quality
FROM 'examples/corpus/captions.parquet'
ORDER BY quality DESC NULLS LAST
LIMIT 10;
