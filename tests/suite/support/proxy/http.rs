//! As much of HTTP/1.1 as the proxy has to understand.
//!
//! Promise: what is read is kept as it came, byte for byte, so that it can be sent on.

use super::{Outcome, Result};
use std::io::BufRead;
use std::ops::Range;

/// A request or an answer.
pub(super) struct Message {
    pub(super) head: Head,
    pub(super) body: Body,
}

impl Message {
    /// As it is sent on.
    pub(super) fn bytes(&self) -> Vec<u8> {
        [self.head.closing(), self.body.raw.clone()].concat()
    }

    /// The proxy's own answer to a request.
    pub(super) fn answered(&self, status: u16, text: &str) -> Self {
        let mut body = Body::default();
        if self.head.word(0) != "HEAD" {
            body.push(text.as_bytes(), true);
        }
        let lines = [
            format!("HTTP/1.1 {status} Injected\r\n"),
            "Content-Type: application/xml\r\n".to_owned(),
            format!("Content-Length: {}\r\n", text.len()),
        ];
        let head = Head(lines.map(String::into_bytes).into());
        Self { head, body }
    }
}

/// The lines of a head as they came, without the empty one at its end.
pub(super) struct Head(Vec<Vec<u8>>);

impl Head {
    pub(super) fn read(from: &mut impl BufRead) -> Result<Self> {
        let mut lines = Vec::new();
        loop {
            let line = read_line(from)?;
            if line == b"\r\n" {
                return Ok(Self(lines));
            }
            lines.push(line);
        }
    }

    /// A word of the first line.
    pub(super) fn word(&self, index: usize) -> String {
        let line = self.0.first().map(|line| String::from_utf8_lossy(line));
        let line = line.unwrap_or_default();
        line.split_whitespace().nth(index).unwrap_or("").to_owned()
    }

    pub(super) fn field(&self, name: &str) -> Option<String> {
        self.0.iter().skip(1).find_map(|line| {
            let line = String::from_utf8_lossy(line);
            let (key, value) = line.split_once(':')?;
            let value = value.trim().to_ascii_lowercase();
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(super) fn framing(&self, otherwise: Framing) -> Result<Framing> {
        if let Some(coding) = self.field("transfer-encoding") {
            let chunked = coding.ends_with("chunked");
            return Ok(if chunked { Framing::Chunked } else { otherwise });
        }
        let length = self.field("content-length");
        Ok(length.map_or(Ok(otherwise), |length| length.parse().map(Framing::Length))?)
    }

    /// The head with which the connection carries nothing more.
    pub(super) fn closing(&self) -> Vec<u8> {
        let is_other = |line: &&Vec<u8>| {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
            !name.eq_ignore_ascii_case(b"connection")
        };
        let mut bytes: Vec<u8> = self.0.iter().filter(is_other).flatten().copied().collect();
        bytes.extend_from_slice(b"Connection: close\r\n\r\n");
        bytes
    }
}

/// The head of the final answer to a request, and how its body ends.
pub(super) fn answer_head(from: &mut impl BufRead, request: &Head) -> Result<(Head, Framing)> {
    loop {
        let head = Head::read(from)?;
        let status = head.word(1);
        // The proxy itself has told the client to go on.
        if status.starts_with('1') {
            continue;
        }
        let bare = request.word(0) == "HEAD" || ["204", "304"].contains(&status.as_str());
        let framing = if bare {
            Framing::Length(0)
        } else {
            head.framing(Framing::UntilEnd)?
        };
        return Ok((head, framing));
    }
}

/// A body as it came.
#[derive(Default)]
pub(super) struct Body {
    raw: Vec<u8>,
    /// Where its data is, among the lines around chunks.
    data: Vec<Range<usize>>,
}

impl Body {
    pub(super) fn push(&mut self, piece: &[u8], is_data: bool) {
        let start = self.raw.len();
        self.raw.extend_from_slice(piece);
        if is_data {
            self.data.push(start..self.raw.len());
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.data.iter().map(Range::len).sum()
    }

    /// Where a byte of the data is, or else the end of the data.
    fn position(&self, mut index: usize) -> usize {
        for range in &self.data {
            if index < range.len() {
                return range.start + index;
            }
            index -= range.len();
        }
        self.data.last().map_or(0, |range| range.end)
    }

    /// Keeps so many bytes of the data, and nothing of what would follow them.
    pub(super) fn cut(&mut self, bytes: usize) {
        if self.bytes() > 0 {
            self.raw.truncate(self.position(bytes));
        }
    }

    pub(super) fn corrupt(&mut self) {
        let bytes = self.bytes();
        if bytes > 0 {
            let middle = self.position(bytes / 2);
            self.raw[middle] ^= 1;
        }
    }
}

/// How a body ends.
#[derive(Clone, Copy)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    UntilEnd,
}

/// Hands on a body in pieces as it comes, each with whether it is data.
pub(super) fn read_body(
    from: &mut impl BufRead,
    framing: Framing,
    mut take: impl FnMut(&[u8], bool) -> Outcome,
) -> Outcome {
    match framing {
        Framing::Length(bytes) => read_data(from, bytes, &mut take),
        Framing::UntilEnd => loop {
            let piece = from.fill_buf()?;
            let count = piece.len();
            if count == 0 {
                return Ok(());
            }
            take(piece, true)?;
            from.consume(count);
        },
        Framing::Chunked => loop {
            let mut line = read_line(from)?;
            take(&line, false)?;
            let size = String::from_utf8_lossy(&line);
            let size = size.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16)?;
            read_data(from, size, &mut take)?;
            // After the last chunk come further fields, if any, up to an empty line.
            loop {
                line = read_line(from)?;
                take(&line, false)?;
                if line == b"\r\n" {
                    break;
                }
            }
            if size == 0 {
                return Ok(());
            }
        },
    }
}

fn read_data(
    from: &mut impl BufRead,
    mut bytes: u64,
    take: &mut impl FnMut(&[u8], bool) -> Outcome,
) -> Outcome {
    while bytes > 0 {
        let piece = from.fill_buf()?;
        let count = piece.len().min(usize::try_from(bytes)?);
        if count == 0 {
            return Err("the body is cut".into());
        }
        take(&piece[..count], true)?;
        from.consume(count);
        bytes -= count as u64;
    }
    Ok(())
}

fn read_line(from: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut line = Vec::new();
    from.read_until(b'\n', &mut line)?;
    if line.ends_with(b"\n") {
        Ok(line)
    } else {
        Err("a line is cut".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str, framing: Framing) -> Result<Body> {
        let mut body = Body::default();
        read_body(&mut raw.as_bytes(), framing, |piece, is_data| {
            body.push(piece, is_data);
            Ok(())
        })?;
        Ok(body)
    }

    fn text(body: &Body) -> String {
        String::from_utf8_lossy(&body.raw).into_owned()
    }

    #[test]
    fn a_body_is_spoiled_in_its_data_and_nowhere_else() -> Outcome {
        let bodies = [
            (Framing::Length(6), "abcdef", "abceef", "ab"),
            (Framing::UntilEnd, "abcdef", "abceef", "ab"),
            (
                Framing::Chunked,
                "1\r\na\r\n5;x=y\r\nbcdef\r\n0\r\nLast: z\r\n\r\n",
                "1\r\na\r\n5;x=y\r\nbceef\r\n0\r\nLast: z\r\n\r\n",
                "1\r\na\r\n5;x=y\r\nb",
            ),
        ];
        for (framing, raw, corrupt, cut) in bodies {
            let mut body = read(raw, framing)?;
            assert_eq!((text(&body).as_str(), body.bytes()), (raw, 6));
            body.corrupt();
            assert_eq!(text(&body), corrupt);
            body.cut(2);
            assert_eq!(text(&body), cut);
        }
        let mut empty = read("0\r\n\r\n", Framing::Chunked)?;
        empty.corrupt();
        empty.cut(0);
        assert_eq!(text(&empty), "0\r\n\r\n");
        Ok(())
    }

    #[test]
    fn a_head_is_sent_on_as_it_came_but_for_its_connection() -> Outcome {
        let raw = "GET /a HTTP/1.1\r\nhost:  a\r\nCONNECTION: keep-alive\r\nX: y: z\r\n\r\nrest";
        let head = Head::read(&mut raw.as_bytes())?;
        let sent = "GET /a HTTP/1.1\r\nhost:  a\r\nX: y: z\r\nConnection: close\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(&head.closing()), sent);
        assert_eq!(head.field("Host").as_deref(), Some("a"));
        Ok(())
    }
}
