-- How the scores are distributed, in buckets of 0.25: look at this before choosing a threshold.
SELECT floor(quality / 0.25) * 0.25 AS from_score, count(*) AS rows, repeat('#', CAST(count(*) AS INT)) AS bar
FROM (SELECT unifilter(image, text) AS quality FROM 'examples/corpus/captions.parquet')
WHERE quality IS NOT NULL
GROUP BY floor(quality / 0.25) * 0.25
ORDER BY from_score;
