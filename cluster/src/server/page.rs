//! The page that a browser is shown: what the server is and does, in plain HTML.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::response::{Html, IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};

use super::rest::Shown;
use crate::access::Caller;

/// What else there is to see.
const LINKS: [(&str, &str); 5] = [
    ("/api/progress", "scoring, by executor"),
    ("/api/jobs", "jobs"),
    ("/api/executors", "executors"),
    ("/metrics", "metrics for Prometheus"),
    ("/readyz", "whether queries can run"),
];

/// What a caller sees of the server.
pub(super) async fn page(State(shown): State<Arc<Shown>>, Extension(caller): Extension<Caller>) -> Response {
    let page = render(&shown, &caller);
    let headers = [
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, Html(page)).into_response()
}

fn render(shown: &Shown, caller: &Caller) -> String {
    let executors = shown.watch.executors();
    let executors = executors.values().map(|seen| {
        let state = &seen.state;
        let models = if state.models.is_empty() { "default".into() } else { state.models.join(", ") };
        let tasks = state.tasks.running.values().sum::<usize>().to_string();
        [seen.address.clone(), state.device.clone(), models, tasks, format!("{:.1}", seen.rows_per_second)]
    });
    let is_admin = shown.access.is_admin(caller);
    let queries = shown.queries.shown().into_iter().filter(|query| is_admin || query.caller == *caller);
    let queries = queries.map(|query| {
        let user = match query.caller {
            Caller::Anyone => String::new(),
            Caller::User(name) => name,
        };
        let scored = shown.watch.counts(&query.jobs).rows_scored.to_string();
        [user, format!("{} s", query.time.as_secs()), scored, query.jobs.join(", "), query.text]
    });
    let mut page = String::from(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>tamis</title></head>\n<body>\n",
    );
    // Writing to a String cannot fail.
    let _ = writeln!(page, "<h1>tamis {}</h1>", escaped(env!("CARGO_PKG_VERSION")));
    let _ = writeln!(page, "<h2>Executors</h2>");
    table(&mut page, ["address", "device", "models", "tasks running", "rows a second"], &executors.collect::<Vec<_>>());
    let _ = writeln!(page, "<h2>{}</h2>", if is_admin { "Queries" } else { "Your queries" });
    table(&mut page, ["user", "time", "rows scored", "jobs", "query"], &queries.collect::<Vec<_>>());
    let _ = writeln!(page, "<p>{} queries wait.</p>\n<h2>More</h2>\n<ul>", shown.queries.waiting());
    for (path, what) in LINKS {
        let _ = writeln!(page, "<li><a href=\"{path}\">{path}</a>: {what}</li>");
    }
    page += "</ul>\n<p>How to ask queries is in docs/flight-sql.md, what the numbers mean in docs/cluster.md of the source tree.</p>\n</body>\n</html>\n";
    page
}

fn table<const N: usize>(page: &mut String, columns: [&str; N], rows: &[[String; N]]) {
    if rows.is_empty() {
        page.push_str("<p>none</p>\n");
        return;
    }
    let row = |page: &mut String, cell: &str, texts: &[&str]| {
        page.push_str("<tr>");
        texts.iter().for_each(|text| {
            // Writing to a String cannot fail.
            let _ = write!(page, "<{cell}>{}</{cell}>", escaped(text));
        });
        page.push_str("</tr>\n");
    };
    page.push_str("<table border=\"1\">\n");
    row(page, "th", &columns);
    rows.iter().for_each(|texts| row(page, "td", &texts.each_ref().map(String::as_str)));
    page.push_str("</table>\n");
}

/// A text as it stands in HTML, between tags or in quotes.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_query_says_is_text_and_no_part_of_the_page() {
        let mut page = String::new();
        let text = "SELECT '</td><script>alert(\"x\")</script>' & 1".to_string();
        table(&mut page, ["query"], &[[text]]);
        assert!(page.contains(
            "<td>SELECT &#39;&lt;/td&gt;&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&#39; &amp; 1</td>"
        ));
        let mut none = String::new();
        table(&mut none, ["query"], &[]);
        assert_eq!(none, "<p>none</p>\n");
    }
}
