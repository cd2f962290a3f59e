-- Does the model agree with people? The mean score of each level that captions were graded with.
SELECT level, count(*) AS rows, avg(unifilter(image, text)) AS mean_score
FROM 'examples/corpus/captions.parquet'
WHERE level IS NOT NULL
GROUP BY level
ORDER BY level;
