-- Rows that have been graded by hand keep their grade; the model is asked for the others only.
SELECT uid, coalesce(CAST(level AS FLOAT), unifilter(image, text)) AS quality
FROM 'examples/corpus/captions.parquet'
ORDER BY quality DESC
LIMIT 20;
