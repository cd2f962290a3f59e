-- A first look at a corpus: the distribution of scores over a tenth of it.
SELECT round(unifilter(image, text)) AS score, count(*) AS rows
FROM 'examples/corpus/captions.parquet' TABLESAMPLE (10)
GROUP BY 1
ORDER BY 1;
