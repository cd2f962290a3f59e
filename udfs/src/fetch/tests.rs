use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};

use super::*;

/// A web server on a free port that answers `/here` (with any query `?sig=ok`) and refuses the rest.
fn server(body: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let request = lines.next().unwrap().unwrap();
                lines.take_while(|line| line.as_ref().is_ok_and(|l| !l.is_empty())).for_each(drop);
                let found = request.contains(" /a%20b.png ") || request.contains(" /signed.png?sig=ok ");
                let (status, body) = if found { ("200 OK", body) } else { ("404 Not Found", &b""[..]) };
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                // The client may have what it wants and be gone.
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
            });
        }
    });
    address
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
fn files_of_a_web_server_with_and_without_a_query() {
    let body = Box::leak(vec![7_u8; 300_000].into_boxed_slice());
    let address = server(body);
    assert_eq!(read(&format!("http://{address}/a%20b.png")).unwrap(), body);
    assert_eq!(read(&format!("http://{address}/signed.png?sig=ok")).unwrap(), body);
    assert_eq!(read_head(&format!("http://{address}/a%20b.png"), 1_000).unwrap(), body[..1_000]);
}

#[test]
fn what_a_web_server_refuses_names_the_url() {
    let address = server(b"");
    for path in ["none.png", "signed.png?sig=wrong"] {
        let url = format!("http://{address}/{path}");
        let message = read(&url).unwrap_err().to_string();
        assert!(message.starts_with(&format!("reading {url}: ")), "{message}");
    }
}

#[test]
fn urls_that_are_not_understood_say_which_are() {
    for url in ["ftp://host/x.png", "http://", "s3:///x.png", "file://otherhost/x.png"] {
        let message = read(url).unwrap_err().to_string();
        assert!(message.starts_with(&format!("reading {url}: ")), "{message}");
        assert!(message.ends_with("expected a path or a URL of file, s3, gs, az, http or https"), "{message}");
    }
}

#[tokio::test]
async fn reading_works_inside_an_async_runtime() {
    let address = server(b"picture");
    assert_eq!(read(&format!("http://{address}/a%20b.png")).unwrap(), b"picture");
}
