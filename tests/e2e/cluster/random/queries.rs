//! The queries, and the tables that they ask.

use std::path::PathBuf;

use crate::support::{Tamis, small};

/// Files of several layouts with the same kind of rows.
pub(super) struct Tables {
    folder: tempfile::TempDir,
    /// Each as it stands in FROM.
    tables: Vec<String>,
    images: String,
}

/// A query, and whether its rows have an order.
#[derive(Clone)]
pub(super) struct Query {
    pub(super) sql: String,
    pub(super) is_ordered: bool,
}

/// Numbers that follow from a seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % most
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }

    fn is(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Columns: a key, two nullable numbers, two texts.
const COLUMNS: [&str; 5] = ["id", "k", "h", "s", "lang"];

impl Tables {
    /// Seven files of 3,000 rows; one file of small row groups; one of few rows.
    pub(super) fn write() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, from: usize, to: usize, options: &[&str]| {
            let path = folder.path().join(name).display().to_string();
            let rows = format!(
                "SELECT v AS id, CASE WHEN v % 11 = 0 THEN NULL ELSE v * 7919 % 40 END AS k, CASE WHEN v % 13 = 1 THEN NULL ELSE \
                 v * 104729 % 500 END AS h, concat('s', cast(v * 31 % 97 AS varchar)) AS s, CASE v % 5 WHEN 0 THEN 'de' WHEN 1 THEN \
                 'en' WHEN 2 THEN 'fr' WHEN 3 THEN 'it' END AS lang FROM (SELECT value AS v FROM generate_series({from}, {to})) \
                 ORDER BY v * 7 % 101, v"
            );
            let mut command = vec!["sql", "-q", "-o", &path];
            command.extend(options);
            command.extend(["-c", &rows]);
            let output = Tamis::new(command).run();
            assert_eq!(output.code, Some(0), "{}", output.stderr);
            path
        };
        for file in 0..7 {
            write(&format!("many-{file}.parquet"), file * 3000, file * 3000 + 2999, &[]);
        }
        let groups = ["--set", "datafusion.execution.parquet.max_row_group_size=256"];
        let one = write("one.parquet", 0, 4999, &groups);
        let few = write("few.parquet", 100, 160, &[]);
        let many = folder.path().join("many-*.parquet").display().to_string();
        let tables = [many, one, few].iter().map(|path| format!("'{path}'")).collect();
        Self { folder, tables, images: format!("'{}'", small().parquet()) }
    }

    /// A folder to leave tables and queries in, if one is wanted.
    pub(super) fn keep(&self) -> Option<PathBuf> {
        let folder = PathBuf::from(std::env::var_os("TAMIS_RANDOM_KEEP")?);
        std::fs::create_dir_all(&folder).expect("a folder");
        for file in std::fs::read_dir(self.folder.path()).expect("the tables").flatten() {
            std::fs::copy(file.path(), folder.join(file.file_name())).expect("a copy");
        }
        std::fs::write(folder.join("from"), self.folder.path().display().to_string()).expect("a file");
        Some(folder)
    }

    /// The query of a number.
    pub(super) fn query(&self, number: u64) -> Query {
        let mut dice = Dice(number);
        let body = if dice.is(12) { self.scored(&mut dice) } else { self.body(&mut dice, 2) };
        let is_ordered = dice.is(60);
        let columns = body.columns;
        let order = (1..=columns).map(|n| if dice.is(30) { format!("{n} DESC") } else { n.to_string() });
        let order =
            if is_ordered { format!(" ORDER BY {}", order.collect::<Vec<_>>().join(", ")) } else { String::new() };
        let limit = match is_ordered && dice.is(40) {
            true => format!(" LIMIT {} OFFSET {}", dice.below(200), dice.below(20)),
            false => String::new(),
        };
        Query { sql: format!("SELECT * FROM ({}) AS q{order}{limit}", body.sql), is_ordered }
    }

    fn table(&self, dice: &mut Dice) -> &str {
        let at = dice.below(self.tables.len() as u64 + 1) as usize;
        self.tables.get(at).unwrap_or(&self.tables[0])
    }

    /// Something with the five columns.
    fn source(&self, dice: &mut Dice, depth: u64) -> String {
        if depth > 0 && dice.is(25) {
            let kind = dice.below(3);
            let from = self.source(dice, depth - 1);
            let (filter, n) = (filter(dice, "u"), 1 + dice.below(60));
            let keys = dice.one(&["k NULLS LAST", "h DESC", "s", "lang, h NULLS FIRST", "id % 10"]);
            return match kind {
                0 => format!("(SELECT * FROM {from} AS u WHERE {filter} ORDER BY {keys}, id LIMIT {n})"),
                1 => format!("(SELECT * FROM {from} AS u WHERE {filter})"),
                _ => {
                    let (with, filter_too) = (self.source(dice, depth - 1), self::filter(dice, "w"));
                    format!(
                        "(SELECT * FROM {from} AS u WHERE {filter} UNION ALL SELECT * FROM {with} AS w WHERE {filter_too})"
                    )
                }
            };
        }
        self.table(dice).to_string()
    }

    fn body(&self, dice: &mut Dice, depth: u64) -> Body {
        let kind = dice.below(11);
        let (from, with) = (self.source(dice, depth), self.source(dice, depth));
        let (f, g) = (filter(dice, "a"), filter(dice, "b"));
        match kind {
            0 => Body::new(5, format!("SELECT a.* FROM {from} AS a WHERE {f}")),
            1 => {
                let by = dice.one(&["k", "lang", "s", "id % 7", "h / 100", "k % 3"]);
                let having = if dice.is(30) { " HAVING count(*) > 3" } else { "" };
                Body::new(
                    6,
                    format!(
                        "SELECT {by} AS g, count(*) AS n, sum(h) AS sh, min(id) AS lo, max(s) AS hi, count(DISTINCT lang) AS l FROM \
                         {from} AS a WHERE {f} GROUP BY {by}{having}"
                    ),
                )
            }
            2 => Body::new(3, format!("SELECT count(*) AS n, sum(id) AS i, avg(h) AS m FROM {from} AS a WHERE {f}")),
            3 => {
                let join = dice.one(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
                let more = dice.one(&["", " AND a.k = b.k", " AND a.h < b.h + 3", " AND a.s <> b.s"]);
                Body::new(
                    4,
                    format!(
                        "SELECT a.id AS x, b.id AS y, a.h, b.lang FROM (SELECT * FROM {from} AS a WHERE {f}) AS a {join} (SELECT * FROM \
                         {with} AS b WHERE {g}) AS b ON a.id = b.id{more}"
                    ),
                )
            }
            4 => {
                let n = 1 + dice.below(30);
                Body::new(
                    4,
                    format!(
                        "SELECT a.k, count(*) AS n, sum(b.h) AS s, min(b.id) AS i FROM (SELECT * FROM {from} AS a WHERE {f} ORDER BY h, id \
                         LIMIT {n}) AS a JOIN (SELECT * FROM {with} AS b WHERE {g}) AS b ON a.k = b.k GROUP BY a.k"
                    ),
                )
            }
            5 => {
                let (is_in, n) = (dice.one(&["IN", "NOT IN"]), 1 + dice.below(40));
                let keys = dice.one(&["k NULLS LAST, id", "h DESC, id", "s, id"]);
                Body::new(
                    5,
                    format!(
                        "SELECT a.* FROM {from} AS a WHERE id {is_in} (SELECT id FROM (SELECT id, h FROM {with} AS b WHERE h IS NOT NULL AND {g} \
                         ORDER BY {keys} LIMIT {n}) AS q WHERE NOT (h IN (100, 300))) AND {f}"
                    ),
                )
            }
            6 => {
                let is = dice.one(&["EXISTS", "NOT EXISTS"]);
                let on = dice.one(&["b.id = a.id", "b.k = a.k AND b.h > 480", "b.id = a.id AND b.lang = a.lang"]);
                Body::new(
                    5,
                    format!(
                        "SELECT a.* FROM {from} AS a WHERE {is} (SELECT 1 FROM {with} AS b WHERE {on} AND {g}) AND {f}"
                    ),
                )
            }
            7 => {
                let set = dice.one(&["UNION", "UNION ALL", "INTERSECT", "EXCEPT"]);
                let columns = dice.one(&["k, lang", "id, s", "h % 50, k"]);
                Body::new(
                    2,
                    format!(
                        "SELECT {columns} FROM {from} AS a WHERE {f} {set} SELECT {columns} FROM {with} AS b WHERE {g}"
                    ),
                )
            }
            8 => {
                let by = dice.one(&["PARTITION BY k ", "PARTITION BY lang ", "", "PARTITION BY k, lang "]);
                let function = dice.one(&[
                    "row_number() OVER ({by}ORDER BY s, id)",
                    "sum(h) OVER ({by}ORDER BY h, id ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)",
                    "lag(id) OVER ({by}ORDER BY h DESC, id)",
                    "rank() OVER ({by}ORDER BY h)",
                    "count(*) OVER ({by}ORDER BY k RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)",
                ]);
                let function = function.replace("{by}", by);
                Body::new(3, format!("SELECT id, k, {function} AS r FROM {from} AS a WHERE {f}"))
            }
            9 => {
                let value = dice.one(&["max(h)", "min(h)", "avg(h)", "max(k) * 10"]);
                let compare = dice.one(&[">=", "<", "="]);
                Body::new(
                    2,
                    format!(
                        "SELECT id, h FROM {from} AS a WHERE h {compare} (SELECT {value} FROM {with} AS b WHERE {g}) AND {f}"
                    ),
                )
            }
            _ => {
                let columns = dice.one(&["k, lang", "s", "h % 20, lang IS NULL"]);
                Body::new(columns.split(',').count(), format!("SELECT DISTINCT {columns} FROM {from} AS a WHERE {f}"))
            }
        }
    }

    /// A query with a model, over few images.
    fn scored(&self, dice: &mut Dice) -> Body {
        let images = &self.images;
        let score = "unifilter(image, text)";
        let (n, width) = (1 + dice.below(20), dice.below(300));
        match dice.below(7) {
            0 => Body::new(2, format!("SELECT uid, {score} AS q FROM {images} WHERE width > {width}")),
            1 => Body::new(
                2,
                format!("SELECT uid, {score} AS q FROM {images} ORDER BY q DESC NULLS LAST, uid LIMIT {n}"),
            ),
            2 => Body::new(
                3,
                format!(
                    "SELECT width > {width} AS w, count(*) AS n, max({score}) AS q FROM {images} GROUP BY width > {width}"
                ),
            ),
            3 => Body::new(
                2,
                format!(
                    "SELECT uid, {score} AS q FROM (SELECT * FROM {images} ORDER BY width, uid LIMIT {n}) AS a WHERE height > 20"
                ),
            ),
            4 => Body::new(
                2,
                format!(
                    "SELECT a.uid, unifilter(a.image, b.text) AS q FROM {images} AS a JOIN {images} AS b ON a.uid = b.uid WHERE a.width > {width}"
                ),
            ),
            5 => Body::new(
                1,
                format!("SELECT uid FROM {images} WHERE uid IN (SELECT uid FROM {images} WHERE {score} > {width})"),
            ),
            _ => Body::new(
                2,
                format!(
                    "SELECT uid, CASE WHEN width > {width} THEN {score} ELSE 0 END AS q FROM {images} WHERE NOT ({score} < 2) OR width > 50"
                ),
            ),
        }
    }
}

struct Body {
    columns: usize,
    sql: String,
}

impl Body {
    fn new(columns: usize, sql: String) -> Self {
        Self { columns, sql }
    }
}

/// A predicate over the five columns.
fn filter(dice: &mut Dice, of: &str) -> String {
    let n = dice.below(500);
    let one = |dice: &mut Dice| match dice.below(10) {
        0 => "true".to_string(),
        1 => format!("{of}.k = {}", n % 40),
        2 => format!("{of}.lang = '{}'", dice.one(&["de", "en", "fr"])),
        3 => format!("{of}.h > {n}"),
        4 => format!("{of}.id % {} = 0", 2 + n % 5),
        5 => format!("{of}.{} IS NOT NULL", dice.one(&COLUMNS)),
        6 => format!("{of}.s LIKE '%{}%'", n % 10),
        // Never a single value: DataFusion takes such a column for constant above an outer join too (docs/upstream.md, 20).
        7 => format!("{of}.id BETWEEN {} AND {}", n * 10 + 1, n * 10 + 3001),
        8 => format!("coalesce({of}.h, {of}.k) < {n}"),
        _ => format!("NOT ({of}.k IN ({}, {}, 3))", n % 40, n % 7),
    };
    let first = one(dice);
    match dice.below(4) {
        0 => format!("({first} OR {})", one(dice)),
        1 => format!("{first} AND {}", one(dice)),
        _ => first,
    }
}
