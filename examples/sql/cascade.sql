-- Two models: the cheaper one sees every row, the dearer one what the cheaper one lets through, however this is written.
-- Run it with two models of different size: --model small=... --model large=...
SELECT uid, text
FROM 'examples/corpus/captions.parquet'
WHERE unifilter(image, text, 'large') >= 2 AND unifilter(image, text, 'small') >= 1;
