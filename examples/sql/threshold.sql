-- Pictures of a useful size whose caption reaches a quality of 2. The size is checked first, so the model sees only
-- the rows that pass it, and it scores each of them once although the query names the score three times.
SELECT uid, url, text, unifilter(image, text) AS quality
FROM 'examples/corpus/captions.parquet'
WHERE width >= 200 AND height >= 200 AND unifilter(image, text) >= 2
ORDER BY unifilter(image, text) DESC;
