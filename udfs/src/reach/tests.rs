use std::os::unix::fs::symlink;

use super::*;

fn reading(places: &[&str]) -> Reach {
    let read = places.iter().map(|place| Place::parse(place).unwrap()).collect();
    Reach::limited(Rules { read, ..Rules::default() })
}

/// A folder with `shared` and `secret` in it, each with a file, and with links between them.
fn folders() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["shared", "shared/sub", "secret", "shared-too"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    for name in ["shared/a.parquet", "shared/sub/b.parquet", "secret/c.parquet", "shared-too/d.parquet"] {
        std::fs::write(folder.path().join(name), "x").unwrap();
    }
    let link = |from: &str, to: &str| symlink(folder.path().join(from), folder.path().join(to)).unwrap();
    link("secret", "shared/out");
    link("secret/c.parquet", "shared/c.parquet");
    link("secret/not-there", "shared/dangling");
    link("shared/sub", "into");
    folder
}

#[test]
fn a_place_holds_what_lies_below_it_when_links_and_dots_are_followed() {
    let folder = folders();
    let at = |name: &str| folder.path().join(name).display().to_string();
    for place in [at("shared"), at("shared/"), format!("file://{}", at("shared"))] {
        let reach = reading(&[&place]);
        for allowed in [
            at("shared"),
            at("shared/a.parquet"),
            at("shared/*.parquet"),
            at("shared/sub/../a.parquet"),
            at("into/b.parquet"),
            at("shared/not-there.parquet"),
            at("shared/not/there/*.parquet"),
            format!("file://{}", at("shared/a.parquet")),
        ] {
            assert_eq!(reach.may_read(&allowed), Ok(()), "{allowed} in {place}");
        }
        for refused in [
            at("secret/c.parquet"),
            at("shared-too/d.parquet"),
            at("shared-too"),
            at("shared/../secret/c.parquet"),
            at("shared/out/c.parquet"),
            at("shared/c.parquet"),
            at("shared/dangling"),
            at("shared/not-there/../../secret/c.parquet"),
            at("shar*/a.parquet"),
            at("*"),
            // The system follows the link first, a URL takes the dots out first.
            at("into/../secret/c.parquet"),
            at("into/../a.parquet"),
            format!("file://{}", at("shared/%2e%2e/secret/c.parquet")),
            format!("file:{}", at("secret/c.parquet")),
            "/".into(),
            "relative.parquet".into(),
            String::new(),
        ] {
            let expected = Err(Refused::Read { name: refused.clone() });
            assert_eq!(reach.may_read(&refused), expected, "{refused} in {place}");
        }
    }
}

#[test]
fn a_file_is_no_pattern() {
    let folder = folders();
    let at = |name: &str| folder.path().join(name).display().to_string();
    symlink(folder.path().join("secret/c.parquet"), folder.path().join("shared/[c].parquet")).unwrap();
    let reach = reading(&[&at("shared")]);
    assert!(reach.may_read_file(&at("shared/a.parquet")).is_ok());
    assert!(reach.may_read_file(&at("shared/[c].parquet")).is_err());
    assert!(reading(&[&at("shared/a.parquet")]).may_read_file(&at("shared/a.parquet")).is_ok());
    assert!(reading(&[&at("shared/a.parquet")]).may_read(&at("shared/*.parquet")).is_err());
}

#[test]
fn urls_are_of_the_same_scheme_and_authority_and_below_by_whole_parts() {
    let reach = reading(&["s3://corpora/public/", "https://data.example.org/a"]);
    for allowed in [
        "s3://corpora/public/x.parquet",
        "s3://corpora/public/*/x-?.parquet",
        "s3://corpora/public",
        "https://data.example.org/a/b.parquet?download=1",
        "https://DATA.example.org:443/a/b.parquet",
        "https://data.example.org/a//b%2Fc%20d.parquet",
    ] {
        assert_eq!(reach.may_read(allowed), Ok(()), "{allowed}");
    }
    for refused in [
        "s3://corpora/private/x.parquet",
        "s3://corpora/public2/x.parquet",
        "s3://corpora/pub*/x.parquet",
        "s3://corpora/public/../private/x.parquet",
        "s3://corpora/public/%2e%2E/private/x.parquet",
        "s3://corpora/public/.%2e/private/x.parquet",
        "s3://corpora/public%2F..%2Fprivate/x.parquet",
        "s3://corpora/public/..%2fprivate/x.parquet",
        "s3://other/public/x.parquet",
        "S3://corpora2/public/x",
        "gs://corpora/public/x.parquet",
        "http://data.example.org/a/b.parquet",
        "https://data.example.org:444/a/b.parquet",
        "https://data.example.org@evil.example/a/b.parquet",
        "https://user@data.example.org/a/b.parquet",
        "https://data.example.org.evil.example/a/b.parquet",
        r"https://data.example.org/a/..\..\b.parquet",
        "https://data.example.org/b/a",
        "https://data.example.org//a/b",
        "https://data.example.org/a/%252e%252e/b",
        "https://data.example.org/a/x%2f..%2f..%2fb",
        "https://data.example.org/",
        "https:data.example.org/a/b",
        "data:text/plain,x",
    ] {
        assert!(reach.may_read(refused).is_err(), "{refused}");
        assert!(reach.may_read_file(refused).is_err(), "{refused}");
    }
    let anywhere = reading(&["https://"]);
    assert!(anywhere.may_read_file("https://any.example/x.jpg").is_ok());
    assert!(anywhere.may_read_file("http://any.example/x.jpg").is_err());
}

#[test]
fn what_a_rule_names_is_absolute_and_no_pattern() {
    for place in ["/data", "s3://bucket", "s3://bucket/a/b", "https://host:1/x", "https://", "file:///data"] {
        let place = Place::parse(place).unwrap();
        assert_eq!(Place::parse(&place.to_string()).unwrap(), place);
    }
    for wrong in ["data", "./data", "", "s3://", "s3:///x", "/data/*", "s3://b/../c", "s3:/b", "https//x", "://"] {
        let error = Place::parse(wrong).unwrap_err();
        assert!(error.contains("expected an absolute path"), "{wrong}: {error}");
    }
}

#[test]
fn files_of_tables_are_read_where_the_tables_lie_and_by_no_other_name() {
    let folder = folders();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let tables = [at("shared/*.parquet"), "s3://corpora/*.parquet".into()];
    let reach = reading(&[]).with_tables(tables.iter().filter_map(|table| Place::of_table(table)));
    let stored = |name: &str| at(name).trim_start_matches('/').to_string();
    assert!(reach.may_read_location("file:///", &stored("shared/a.parquet")).is_ok());
    // Whoever has set up the table has set up its links.
    assert!(reach.may_read_location("file:///", &stored("shared/c.parquet")).is_ok());
    assert!(reach.may_read_location("s3://corpora/", "x.parquet").is_ok());
    assert!(reach.may_read_location("s3://other/", "x.parquet").is_err());
    let web = reading(&[]).with_tables(Place::of_table("https://host/t.parquet?a=b"));
    assert!(
        web.may_read_url("https://host/t.parquet?a=b").is_ok() && web.may_read_url("https://host/u.parquet").is_err()
    );
    let refused = reach.may_read_location("file:///", &stored("secret/c.parquet")).unwrap_err();
    assert_eq!(refused, Refused::Read { name: at("secret/c.parquet") });
    assert!(reach.may_read(&at("shared/a.parquet")).is_err());
    assert!(reach.may_read_file(&at("shared/a.parquet")).is_err());
    // A readable place has links, too, that lead out of it.
    let reach = reading(&[&at("shared")]);
    assert!(reach.may_read_location("file:///", &stored("shared/a.parquet")).is_ok());
    assert!(reach.may_read_location("file:///", &stored("shared/c.parquet")).is_err());
}

#[test]
fn the_hosts_of_named_tables_are_asked_for_tables_alone() {
    let mut rules = Rules { addresses: vec!["10.0.0.0/8".into()], ..Rules::default() };
    rules.tables =
        vec![Place::of_table("http://intranet:81/x.parquet?a=b").unwrap(), Place::of_table("s3://b/x").unwrap()];
    let reach = Reach::limited(rules);
    assert_eq!(reach.addresses(), "public, 10.0.0.0/8".parse().unwrap());
    assert_eq!(reach.addresses_of_tables(), "public, 10.0.0.0/8, intranet".parse().unwrap());
    assert_eq!(Reach::everything().addresses_of_tables(), Addresses::Any);
}

#[test]
fn models_are_named_unless_any_may_be_run() {
    let reach = reading(&[]).with_model("/models/own");
    assert!(reach.may_run("/models/own").is_ok());
    assert!(reach.may_run("/models/other").unwrap_err().to_string().contains("[access] models"));
    assert!(Reach::limited(Rules { models: Models::Any, ..Rules::default() }).may_run("/models/other").is_ok());
}

#[test]
fn everything_is_everything() {
    let reach = Reach::everything();
    assert!(reach.may_read("/etc/passwd").is_ok() && reach.may_run("/x").is_ok() && reach.may_write("/x").is_ok());
    assert!(reach.may_read_location("file:///", "etc/passwd").is_ok() && reach.addresses() == Addresses::Any);
    assert!(reading(&["/"]).may_write("/x").is_err());
}

#[test]
fn limits_travel_as_an_option_that_can_only_be_set_once() {
    use datafusion::config::ExtensionOptions;

    let reach = reading(&["/data", "s3://corpora/"]).with_model("/models/own");
    let mut sent = TamisOptions::default();
    assert!(!sent.entries().iter().any(|entry| entry.key == "tamis.access"));
    sent.set_reach(reach.clone());
    let entry = sent.entries().into_iter().find(|entry| entry.key == "tamis.access").unwrap();
    let mut received = TamisOptions::default();
    received.set("access", &entry.value.unwrap()).unwrap();
    assert_eq!(received.reach(), &reach);
    let wider = serde_json::to_string(&Rules { models: Models::Any, ..Rules::default() }).unwrap();
    assert!(received.set("access", &wider).is_err());
    assert_eq!(received.reach(), &reach);
    // What is not understood allows nothing.
    let mut broken = TamisOptions::default();
    assert!(broken.set("access", "{\"read\": 1}").is_err());
    assert_eq!(broken.reach(), &Reach::limited(Rules::default()));
}
