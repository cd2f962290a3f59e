use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures::TryStreamExt;
use http::{HeaderMap, Method};
use url::Url;

use super::test_server::{TestServer, reply};
use super::*;

async fn read_with(addresses: Addresses, url: &str) -> Result<Vec<u8>, WebError> {
    let answer =
        Client::new(addresses)?.send(Method::GET, &Url::parse(url).unwrap(), &HeaderMap::new()).await?.decoded()?;
    Ok(answer.try_collect::<Vec<_>>().await?.concat())
}

async fn read(url: &str) -> Result<Vec<u8>, WebError> {
    read_with(Addresses::Any, url).await
}

async fn refusal(url: &str) -> String {
    read(url).await.unwrap_err().to_string()
}

async fn refusal_of_public(url: &str) -> String {
    read_with(Addresses::Public(Vec::new()), url).await.unwrap_err().to_string()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn urls_are_asked_for_as_they_are_written() {
    let server = TestServer::of(b"picture");
    let paths = ["/a%2Fb.png", "/a%20b", "/folder/", "//a//b.png", "/", "/x?sig=a%2Fb%2B&e=/", "/x?", "/~a;v=1/(b),c"];
    for path in paths {
        assert_eq!(read(&server.url(path)).await.unwrap(), b"picture", "{path}");
    }
    assert_eq!(server.targets(), paths);
    read(&server.url("/x#part")).await.unwrap();
    assert_eq!(server.targets().last().unwrap(), "/x");
}

#[tokio::test]
async fn a_request_says_who_asks_and_wants_no_encoding() {
    let server = TestServer::of(b"");
    read(&server.url("/")).await.unwrap();
    let head = server.heads()[0].to_ascii_lowercase();
    assert!(head.contains(&format!("user-agent: tamis/{}", env!("CARGO_PKG_VERSION"))), "{head}");
    assert!(head.contains("accept-encoding: identity"), "{head}");
}

#[tokio::test]
async fn chunked_answers() {
    let server = TestServer::start(|_| {
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n4\r\npict\r\n3\r\nure\r\n0\r\n\r\n"
            .to_vec()
    });
    assert_eq!(read(&server.url("/")).await.unwrap(), b"picture");
}

#[tokio::test]
async fn encoded_answers() {
    let server = TestServer::start(|head| match head.split(' ').nth(1).unwrap() {
        "/gzip" => reply("200 OK", "Content-Encoding: gzip\r\n", &gzip(b"picture")),
        "/members" => reply("200 OK", "Content-Encoding: x-gzip\r\n", &[gzip(b"pict"), gzip(b"ure")].concat()),
        "/zstd" => reply("200 OK", "Content-Encoding: zstd\r\n", &zstd::encode_all(&b"picture"[..], 1).unwrap()),
        "/identity" => reply("200 OK", "Content-Encoding: identity\r\n", b"picture"),
        "/torn" => reply("200 OK", "Content-Encoding: gzip\r\n", &gzip(b"picture")[..20]),
        _ => reply("200 OK", "Content-Encoding: br\r\n", b"?"),
    });
    for path in ["/gzip", "/members", "/zstd", "/identity"] {
        assert_eq!(read(&server.url(path)).await.unwrap(), b"picture", "{path}");
    }
    let torn = refusal(&server.url("/torn")).await;
    assert!(torn.starts_with("decoding gzip: "), "{torn}");
    let br = refusal(&server.url("/br")).await;
    assert_eq!(br, "the server sends it encoded as br; gzip, deflate and zstd are decoded");
}

#[tokio::test]
async fn redirects_are_followed() {
    let server = TestServer::start(|head| match head.split(' ').nth(1).unwrap() {
        "/a/1" => reply("302 Found", "Location: ../b//2?q=%2F\r\n", b""),
        "/b//2?q=%2F" => reply("308 Permanent Redirect", "Location: /3#part\r\n", b""),
        "/ftp" => reply("301 Moved Permanently", "Location: ftp://host/x\r\n", b""),
        "/no" => reply("301 Moved Permanently", "Location: http://[/\r\n", b""),
        "/round" => reply("307 Temporary Redirect", "Location: /round\r\n", b""),
        _ => reply("200 OK", "", b"picture"),
    });
    assert_eq!(read(&server.url("/a/1")).await.unwrap(), b"picture");
    assert_eq!(server.targets(), ["/a/1", "/b//2?q=%2F", "/3"]);
    assert_eq!(refusal(&server.url("/ftp")).await, "ftp://host/x is not an http or https URL");
    assert!(refusal(&server.url("/no")).await.starts_with("the server sends on to \"http://[/\": "));
    let asked = server.targets().len();
    assert_eq!(
        refusal(&server.url("/round")).await,
        format!("more than 10 redirects, the last to {}", server.url("/round"))
    );
    assert_eq!(server.targets().len() - asked, 11);
}

#[tokio::test]
async fn a_refusal_has_the_status_and_what_helps() {
    let server = TestServer::start(|head| match head.split(' ').nth(1).unwrap() {
        "/page" => reply("403 Forbidden", "Content-Type: text/html\r\n", b"<!DOCTYPE html>"),
        "/line" => reply(
            "400 Bad Request",
            "Content-Type: text/plain; charset=utf-8\r\n",
            b"\n  the link\x07 has expired\nmore",
        ),
        "/xml" => {
            reply("403 Nope", "Content-Type: application/xml\r\n", b"<?xml version='1.0'?>\n<Error>Expired</Error>")
        }
        "/long" => reply("500 Oh", "Content-Type: text/plain\r\n", &[b'x'; 100_000]),
        _ => reply("599 Strange", "", b""),
    });
    assert_eq!(refusal(&server.url("/page")).await, "the server answered 403 Forbidden");
    assert_eq!(refusal(&server.url("/line")).await, "the server answered 400 Bad Request: the link  has expired");
    assert_eq!(refusal(&server.url("/xml")).await, "the server answered 403 Forbidden: <Error>Expired</Error>");
    let long = refusal(&server.url("/long")).await;
    assert_eq!(long, format!("the server answered 500 Internal Server Error: {}", "x".repeat(200)));
    assert_eq!(refusal(&server.url("/other")).await, "the server answered 599");
}

#[tokio::test]
async fn what_keeps_a_server_from_answering_is_said_once() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = read(&format!("http://{free}/x")).await.unwrap_err();
    assert!(refused.is_transient());
    assert!(refused.to_string().starts_with("cannot connect: "), "{refused}");
    assert_eq!(refused.to_string().matches("refused").count(), 1, "{refused}");
    let unknown = refusal("http://no-such-host.invalid/x").await;
    assert!(unknown.starts_with("no-such-host.invalid has no address: "), "{unknown}");
    let server = TestServer::of(b"no TLS");
    let tls = refusal(&format!("https://{}/x", server.address)).await;
    assert!(!tls.is_empty() && !tls.contains("https://") && !tls.contains("client error"), "{tls}");
}

#[tokio::test]
async fn addresses_that_are_not_public_are_refused_in_all_forms() {
    for (host, address) in [
        ("127.0.0.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("%31%32%37.0.0.1", "127.0.0.1"),
        ("①②⑦.0.0.1", "127.0.0.1"),
        ("0", "0.0.0.0"),
        ("169.254.169.254", "169.254.169.254"),
        ("[::1]", "::1"),
        ("[::ffff:10.0.0.1]", "::ffff:10.0.0.1"),
        ("[64:ff9b::10.0.0.1]", "64:ff9b::a00:1"),
        ("[fe80::1]", "fe80::1"),
    ] {
        let expected = format!("{address} is not a public address; an operator can allow it under [access] addresses");
        assert_eq!(refusal_of_public(&format!("http://{host}:1/x")).await, expected, "{host}");
        assert_eq!(refusal_of_public(&format!("https://u:p@{host}/x")).await, expected, "{host}");
    }
}

#[tokio::test]
async fn a_name_that_resolves_to_what_is_not_public_is_refused() {
    let server = TestServer::of(b"secret");
    for host in ["localhost", "LOCALHOST"] {
        let refused = refusal_of_public(&format!("http://{host}:{}/x", server.address.port())).await;
        let is = format!("{} is ", host.to_ascii_lowercase());
        let end = ", which is not a public address; an operator can allow it under [access] addresses";
        assert!(refused.starts_with(&is) && refused.ends_with(end), "{refused}");
    }
    assert!(server.heads().is_empty());
}

// Elsewhere the loopback has one address alone.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_redirect_to_what_is_not_public_is_refused() {
    let secret = TestServer::of(b"secret");
    let port = secret.address.port();
    let entry = TestServer::start_at("127.0.0.2", move |head| match head.starts_with("GET /name ") {
        true => reply("302 Found", &format!("Location: http://localhost:{port}/\r\n"), b""),
        false => reply("302 Found", &format!("Location: http://127.1:{port}/\r\n"), b""),
    });
    for path in ["/name", "/address"] {
        let allowed = Addresses::Public(vec!["127.0.0.2".parse().unwrap()]);
        let refused = read_with(allowed, &entry.url(path)).await.unwrap_err();
        assert!(matches!(refused, WebError::NotPublic { .. }), "{refused}");
    }
    assert_eq!(entry.targets(), ["/name", "/address"]);
    assert!(secret.heads().is_empty());
}

#[tokio::test]
async fn what_an_operator_allows_is_read() {
    let server = TestServer::of(b"picture");
    let port = server.address.port();
    let read = |allowed: &str, host: &str| {
        let addresses = Addresses::Public(vec![allowed.parse().unwrap()]);
        let url = format!("http://{host}:{port}/x");
        async move { read_with(addresses, &url).await }
    };
    assert_eq!(read("127.0.0.0/8", "127.0.0.1").await.unwrap(), b"picture");
    assert_eq!(read("localhost", "localhost").await.unwrap(), b"picture");
    assert!(matches!(read("localhost", "127.0.0.1").await, Err(WebError::NotPublic { .. })));
    assert!(matches!(read("10.0.0.0/8", "localhost").await, Err(WebError::NotPublic { .. })));
}
