-- Why rows could not be scored, and how often. A NULL image or text is no error and has no reason.
SELECT unifilter_error(image, text) AS reason, count(*) AS rows, min(note) AS note_of_one
FROM 'examples/corpus/captions.parquet'
WHERE unifilter_error(image, text) IS NOT NULL
GROUP BY unifilter_error(image, text)
ORDER BY rows DESC, reason;
