-- The top 30 % of the rows that can be scored, as a new Parquet file:
--     tamis sql -f examples/sql/keep_top_30_percent.sql -o best.parquet
WITH scored AS (
    SELECT uid, url, text, image, unifilter(image, text) AS quality
    FROM 'examples/corpus/captions.parquet'
), ranked AS (
    SELECT *, row_number() OVER (ORDER BY quality DESC, uid) AS place, count(*) OVER () AS scored_rows
    FROM scored
    WHERE quality IS NOT NULL
)
SELECT uid, url, text, image, quality
FROM ranked
WHERE place <= 0.3 * scored_rows
ORDER BY place;
