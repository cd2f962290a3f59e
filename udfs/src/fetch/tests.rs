use super::*;
use crate::reach::{Place, Rules};
use crate::web::test_server::{TestServer, reply};

fn read(name: &str) -> Result<Vec<u8>, FetchError> {
    super::read(name, &Reach::everything())
}

fn read_head(name: &str, length: u64) -> Result<Vec<u8>, FetchError> {
    super::read_head(name, length, &Reach::everything())
}

#[test]
fn local_files_by_path_and_by_url() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a b.bin");
    std::fs::write(&path, b"0123456789").unwrap();
    assert_eq!(read(path.to_str().unwrap()).unwrap(), b"0123456789");
    assert_eq!(read_head(path.to_str().unwrap(), 4).unwrap(), b"0123");
    assert_eq!(read_head(path.to_str().unwrap(), 400).unwrap(), b"0123456789");
    assert_eq!(read(Url::from_file_path(&path).unwrap().as_str()).unwrap(), b"0123456789");
}

#[test]
fn what_is_no_regular_file_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    assert_eq!(read(folder).unwrap_err().to_string(), format!("reading {folder}: not a regular file"));
    let message = read("no/such/file.png").unwrap_err().to_string();
    assert!(message.starts_with("reading no/such/file.png: "), "{message}");
}

#[cfg(unix)]
#[test]
fn a_device_that_never_ends_is_refused() {
    assert!(matches!(read("/dev/zero"), Err(FetchError::NotAFile { .. })));
}

#[test]
fn a_file_too_large_to_be_an_image_is_refused_unread() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse");
    File::create(&path).unwrap().set_len(MAX_BYTES + 1).unwrap();
    assert!(matches!(read(path.to_str().unwrap()), Err(FetchError::TooLarge { .. })));
    assert_eq!(read_head(path.to_str().unwrap(), 8).unwrap(), [0; 8]);
}

#[test]
fn files_of_a_web_server_are_asked_for_as_written() {
    let body = Box::leak(vec![7_u8; 300_000].into_boxed_slice());
    let server = TestServer::of(body);
    let paths = ["/a%20b.png", "/a%2Fb//c/", "/signed.png?sig=a%2Fb"];
    for path in paths {
        assert_eq!(read(&server.url(path)).unwrap(), body);
    }
    assert_eq!(server.targets(), paths);
    assert_eq!(read_head(&server.url("/a%20b.png"), 1_000).unwrap(), body[..1_000]);
}

#[test]
fn what_a_web_server_refuses_names_the_url_and_the_status() {
    let server = TestServer::start(|_| reply("404 Not Found", "", b""));
    for path in ["none.png", "signed.png?sig=wrong"] {
        let url = server.url(&format!("/{path}"));
        assert_eq!(read(&url).unwrap_err().to_string(), format!("reading {url}: the server answered 404 Not Found"));
    }
    assert_eq!(server.targets().len(), 2);
}

#[test]
fn what_a_server_cannot_answer_now_is_asked_for_again() {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let server = TestServer::start(move |_| match asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
        0 => reply("503 Service Unavailable", "", b""),
        // A connection that breaks within the body.
        1 => b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npict".to_vec(),
        _ => reply("200 OK", "", b"picture"),
    });
    assert_eq!(read(&server.url("/x")).unwrap(), b"picture");
    assert_eq!(server.targets().len(), 3);
}

#[test]
fn a_body_that_grows_beyond_what_a_file_may_have_is_refused() {
    let huge = format!("Content-Length: {}\r\n", MAX_BYTES + 1);
    let server = TestServer::start(move |head| match head.starts_with("GET /announced ") {
        true => format!("HTTP/1.1 200 OK\r\n{huge}\r\n").into_bytes(),
        false => {
            let bomb = zstd::encode_all(&vec![0; 300 << 20][..], 1).unwrap();
            reply("200 OK", "Content-Encoding: zstd\r\n", &bomb)
        }
    });
    for path in ["/announced", "/bomb"] {
        assert!(matches!(read(&server.url(path)), Err(FetchError::TooLarge { .. })), "{path}");
    }
    assert_eq!(read_head(&server.url("/bomb"), 8).unwrap(), [0; 8]);
}

#[test]
fn a_policy_of_addresses_is_kept_to() {
    let server = TestServer::of(b"secret");
    let url = format!("http://localhost:{}/x", server.address.port());
    let read_from = |place: &str| Rules { read: vec![Place::parse(place).unwrap()], ..Rules::default() };
    let within = |place: &str| super::read(&url, &Reach::limited(read_from(place))).unwrap_err().to_string();
    assert!(within("https://").contains("you may not read there"), "{}", within("https://"));
    let refused = within("http://");
    assert!(refused.starts_with(&format!("reading {url}: localhost is ")), "{refused}");
    assert!(refused.ends_with("an operator can allow it under [access] addresses"), "{refused}");
    assert_eq!(read(&url).unwrap(), b"secret");
}

#[test]
fn files_that_the_column_holds() {
    assert_eq!(read("data:text/plain;base64,cGljdHVyZQ").unwrap(), b"picture");
    assert_eq!(read_head("data:,picture", 4).unwrap(), b"pict");
    let message = read("data:image/png;base64,???").unwrap_err().to_string();
    assert!(message.starts_with("reading data:image/png;base64,???: its base64 is damaged: "), "{message}");
}

#[test]
fn messages_do_not_repeat_long_values() {
    let long = "x".repeat(100_000);
    for value in [
        format!("data:;base64,{}?", long),
        format!("data:{long}"),
        format!("ftp://host/{long}"),
        format!("s3:///{long}"),
        format!("http://127.0.0.1:9/{long}"),
        format!("http://{long}/"),
        long,
    ] {
        let message = read(&value).unwrap_err().to_string();
        assert!(message.chars().count() < 800, "{message}");
        assert!(!message.contains(&"x".repeat(201)), "{message}");
    }
}

#[test]
fn urls_that_are_not_understood_say_which_are() {
    for url in ["ftp://host/x.png", "http://", "s3:///x.png", "file://otherhost/x.png"] {
        let message = read(url).unwrap_err().to_string();
        assert!(message.starts_with(&format!("reading {url}: ")), "{message}");
        assert!(message.ends_with("expected a path or a URL of file, s3, gs, az, http, https or data"), "{message}");
    }
}

#[tokio::test]
async fn reading_works_inside_an_async_runtime() {
    let server = TestServer::of(b"picture");
    assert_eq!(read(&server.url("/a%20b.png")).unwrap(), b"picture");
}
