//! A listener: an HTTP server that takes whatever it is told.
//!
//! Promise: it answers each request with the next of its codes, and after them with the last; it is gone
//! with the value.

use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What it was told.
#[derive(Clone, Debug)]
pub struct Heard {
    pub method: String,
    pub path: String,
    pub body: String,
}

pub struct Listener {
    address: SocketAddr,
    heard: Arc<Mutex<Option<Vec<Heard>>>>,
}

impl Listener {
    /// A listener that answers with these codes.
    pub fn start(codes: &'static [u16]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let heard = Arc::new(Mutex::new(Some(Vec::new())));
        let shared = Arc::clone(&heard);
        thread::spawn(move || {
            for (number, socket) in listener.incoming().enumerate() {
                let code = codes[number.min(codes.len() - 1)];
                let request = socket.and_then(|socket| serve(&socket, code));
                let mut heard = shared.lock().unwrap_or_else(PoisonError::into_inner);
                match (&mut *heard, request) {
                    (None, _) => return,
                    (Some(heard), Ok(request)) => heard.push(request),
                    // A client that goes away is no error.
                    (Some(_), Err(_)) => {}
                }
            }
        });
        Ok(Self { address, heard })
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What was heard so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Heard> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.clone().unwrap_or_default()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = None;
        // The thread sees the end only once it has accepted something.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut socket: &TcpStream, code: u16) -> Result<Heard> {
    let mut reader = BufReader::new(socket);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next(), words.next());
    let mut length = 0;
    loop {
        let mut field = String::new();
        if reader.read_line(&mut field)? <= 2 {
            break;
        }
        let field = field.to_ascii_lowercase();
        if let Some(value) = field.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let answer =
        format!("HTTP/1.1 {code} Code\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK");
    socket.write_all(answer.as_bytes())?;
    Ok(Heard {
        method: method.unwrap_or_default(),
        path: path.unwrap_or_default(),
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}
