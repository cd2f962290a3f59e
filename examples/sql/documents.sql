-- Interleaved documents: lists of images and texts, NULL where the other modality stands.
SELECT metadata, unifilter(images, texts) AS quality, unifilter_error(images, texts) AS reason
FROM 'examples/corpus/documents.parquet'
ORDER BY quality DESC NULLS LAST;
