//! As much of HTTP/1.1 as one page on this machine needs: one request at a time, each on a connection of its own.

use std::{
    fs::File,
    io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    time::Duration,
};

use crate::{Error, Result};

/// How long a connection may say nothing before it is closed; browsers open some that they never use.
const PATIENCE: Duration = Duration::from_millis(300);

/// How long to wait for the next connection before looking whether to stop.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Most of a file that one answer carries. A player that needs more asks again, and no answer holds the others up.
const CHUNK: u64 = 2 << 20;

/// Most bytes of a request's head.
const MAX_HEAD: u64 = 16 << 10;

/// What a page asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET` or `POST`.
    pub method: String,
    /// From the first slash.
    pub path: String,
    /// First byte that is wanted of a file.
    pub range_from: u64,
}

/// What it gets.
#[derive(Debug)]
pub struct Answer {
    status: u16,
    headers: String,
    body: Vec<u8>,
}

impl Answer {
    /// Nothing but a status.
    pub fn status(status: u16) -> Self {
        Self { status, headers: String::new(), body: Vec::new() }
    }

    /// A text.
    pub fn text(kind: &str, text: &str) -> Self {
        Self { status: 200, headers: format!("Content-Type: {kind}\r\n"), body: text.into() }
    }

    /// A value.
    pub fn json(value: &serde_json::Value) -> Self {
        Self::text("application/json", &value.to_string())
    }

    /// A file from byte `from` on, not always to its end.
    pub fn part_of_file(path: &Path, kind: &str, from: u64) -> Self {
        let read = || -> std::io::Result<(u64, Vec<u8>)> {
            let mut file = File::open(path)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(from))?;
            let mut body = Vec::new();
            file.take(CHUNK).read_to_end(&mut body)?;
            Ok((length, body))
        };
        match read() {
            Err(_) => Self::status(404),
            Ok((length, body)) if body.is_empty() => {
                Self { headers: format!("Content-Range: bytes */{length}\r\n"), ..Self::status(416) }
            }
            Ok((length, body)) => {
                let last = from + body.len() as u64 - 1;
                let headers = format!(
                    "Content-Type: {kind}\r\nAccept-Ranges: bytes\r\nContent-Range: bytes {from}-{last}/{length}\r\n"
                );
                Self { status: 206, headers, body }
            }
        }
    }

    fn write(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        let reason = match self.status {
            200 => "OK",
            206 => "Partial Content",
            _ => "Refused",
        };
        write!(
            stream,
            "HTTP/1.1 {} {reason}\r\n{}Content-Length: {}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
            self.status,
            self.headers,
            self.body.len()
        )?;
        stream.write_all(&self.body)
    }
}

/// Answers requests until `is_over`, which is asked after each (told whether it was the last that matters) and while
/// nobody asks anything.
///
/// # Errors
/// [`Error::Device`] when the listener fails. A connection that breaks harms none but itself.
pub fn serve(
    listener: &TcpListener,
    answer: &mut dyn FnMut(&Request) -> (Answer, bool),
    is_over: &mut dyn FnMut(bool) -> bool,
) -> Result<()> {
    let failed = |e: std::io::Error| Error::Device(format!("the page can't be served: {e}"));
    listener.set_nonblocking(true).map_err(failed)?;
    loop {
        let mut is_last = false;
        match listener.accept() {
            Ok((mut stream, _)) => {
                if let Some(request) = read_request(&stream) {
                    let (answer, last) = answer(&request);
                    is_last = answer.write(&mut stream).is_ok() && last;
                    // The page has the verdict in hand before the program ends.
                    let _ = stream.flush();
                }
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock) => std::thread::sleep(LOOK_EVERY),
            Err(e) if matches!(e.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
            Err(e) => return Err(failed(e)),
        }
        if is_over(is_last) {
            return Ok(());
        }
    }
}

/// The head of a request; `None` for a connection that says nothing, or nothing sensible.
fn read_request(stream: &TcpStream) -> Option<Request> {
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(10 * PATIENCE)).ok()?;
    parse(BufReader::new(stream.take(MAX_HEAD)))
}

fn parse(head: impl BufRead) -> Option<Request> {
    let mut lines = head.lines().map_while(std::result::Result::ok);
    let first = lines.next()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut range_from = 0;
    for line in lines.take_while(|line| !line.is_empty()) {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("range")
        {
            range_from = value.trim().strip_prefix("bytes=")?.split('-').next()?.parse().ok()?;
        }
    }
    path.starts_with('/').then_some(Request { method, path, range_from })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<Request> {
        parse(text.as_bytes())
    }

    #[test]
    fn heads_of_requests_are_understood() {
        let request = parsed("GET /clip/3/left HTTP/1.1\r\nHost: here\r\nRANGE: bytes=500-\r\n\r\n");
        let wanted = Request { method: "GET".into(), path: "/clip/3/left".into(), range_from: 500 };
        assert_eq!(request, Some(wanted));
        for bad in ["", "GET", "GET there HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nRange: bytes=-5\r\n\r\n"] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_file_comes_in_parts_that_say_where_they_lie() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("file");
        std::fs::write(&path, vec![7; CHUNK as usize + 10]).expect("written");
        let whole = CHUNK + 10;
        let first = Answer::part_of_file(&path, "video/mp4", 0);
        assert_eq!((first.status, first.body.len() as u64), (206, CHUNK));
        assert!(first.headers.contains(&format!("bytes 0-{}/{whole}", CHUNK - 1)), "{}", first.headers);
        let rest = Answer::part_of_file(&path, "video/mp4", CHUNK);
        assert_eq!((rest.status, rest.body.len()), (206, 10));
        assert_eq!(Answer::part_of_file(&path, "video/mp4", whole).status, 416);
        assert_eq!(Answer::part_of_file(&dir.path().join("none"), "video/mp4", 0).status, 404);
    }
}
