//! A proxy between a client and a real HTTP/1.1 server that spoils what it is told to spoil.
//!
//! Promise: a request reaches the server byte for byte but for its `Connection` header, so its
//! signature stays valid. A fault befalls the request it was planned for and no other, as each
//! connection carries one request. Once the value is dropped nothing is accepted any more, every
//! connection is cut, and the threads run out.

mod http;

use super::Outcome;
use http::{Body, Framing, Head, Message, answer_head, read_body};
use std::error::Error;
use std::io::{self, BufReader, Read, Write};
use std::mem;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The most that is read at once.
const PIECE: usize = 16 * 1024;

/// A request that a client made.
#[derive(Clone, Debug)]
pub struct Request {
    /// From 1, in the order in which the heads arrived, over all connections.
    pub number: usize,
    pub method: String,
    /// With the query.
    pub path: String,
    /// Of the body, without the lines around chunks. It grows while the body arrives.
    pub bytes: usize,
}

/// What befalls a request once it has arrived as a whole.
///
/// Where a request is forwarded, the server's answer is read to its end before the client hears of
/// it. A body without data is neither corrupted nor cut.
#[derive(Clone)]
pub enum Fault {
    Pass,
    /// The connection is reset, and the server never sees the request.
    ResetBefore,
    /// The server acts and answers, and the connection is reset without a byte of its answer.
    ResetAfter,
    /// The server never sees the request: this is the answer.
    Answer {
        status: u16,
        body: String,
    },
    /// The server acts, and this takes the place of its answer.
    AnswerAfter {
        status: u16,
        body: String,
    },
    /// So many bytes of the answer's body, then the connection closes. The head stays as it was.
    TruncateResponse(usize),
    /// One bit in the middle of the answer's body is flipped.
    CorruptResponse,
    /// One bit in the middle of the request's body is flipped.
    CorruptRequest,
    /// The server gets half the body and a closed connection, the client a reset one. Without a
    /// body the server gets nothing at all.
    TruncateRequest,
    /// Nothing for so long, then as if nothing had been.
    StallBefore(Duration),
    /// The head and half of the answer's body, nothing for so long, then the rest.
    StallResponse(Duration),
    /// The server gets the request twice, and the client the second answer.
    Duplicate,
    /// Something else happens before the request is forwarded, or after the server has answered
    /// and before the client hears of it.
    Hook {
        after: bool,
        run: Arc<dyn Fn() + Send + Sync>,
    },
}

/// A proxy that lasts as long as the value. A server that it cannot reach, or that breaks off,
/// looks to the client like a connection that is reset.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Proxy {
    /// A proxy that asks for the fault of each request, after it was read and before it is
    /// forwarded: the plan is free to do something itself first, such as to end the client.
    pub fn start(
        upstream: &str,
        plan: impl Fn(&Request) -> Fault + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::start_as(upstream, Mode::Faults(Box::new(plan)))
    }

    /// A proxy that is a slow link: what all connections together send is forwarded as it comes
    /// and at most at this rate, and so is what they receive.
    pub fn start_slow(upstream: &str, bytes_per_second: u32) -> Result<Self> {
        let paces = [bytes_per_second; 2].map(Pace::new);
        Self::start_as(upstream, Mode::Slow(paces))
    }

    fn start_as(upstream: &str, mode: Mode) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let upstream = upstream.trim_start_matches("http://").trim_end_matches('/');
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            mode,
            requests: Mutex::default(),
            live: Mutex::default(),
            ended: Condvar::new(),
        });
        let handle = Arc::clone(&shared);
        let acceptor = Some(thread::spawn(move || accept(&listener, &handle)));
        Ok(Self {
            address,
            shared,
            acceptor,
        })
    }

    /// Where clients find the proxy.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was seen so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.requests).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut live = lock(&self.shared.live);
        live.ended = true;
        for socket in live.sockets.iter().filter_map(Weak::upgrade) {
            let _ = socket.shutdown(Shutdown::Both);
        }
        drop(live);
        self.shared.ended.notify_all();
        // The thread that accepts sees the end only once it has accepted something.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for socket in listener.incoming() {
        if lock(&shared.live).ended {
            return;
        }
        let shared = Arc::clone(shared);
        // A client or a server that goes away is no error.
        thread::spawn(move || {
            if let Ok(socket) = socket {
                let _ = shared.serve(socket);
            }
        });
    }
}

enum Mode {
    Faults(Box<dyn Fn(&Request) -> Fault + Send + Sync>),
    /// Towards the server, and back.
    Slow([Pace; 2]),
}

/// What the proxy and the threads of its connections share.
struct Shared {
    upstream: String,
    mode: Mode,
    requests: Mutex<Vec<Request>>,
    live: Mutex<Live>,
    ended: Condvar,
}

#[derive(Default)]
struct Live {
    ended: bool,
    /// Weak, for a socket that somebody else holds does not close when its connection is done.
    sockets: Vec<Weak<TcpStream>>,
}

impl Shared {
    /// One connection. Wherever this ends early, the client's connection is reset.
    fn serve(&self, socket: TcpStream) -> Outcome {
        let socket = self.keep(socket)?;
        let piece = match &self.mode {
            Mode::Faults(_) => PIECE,
            Mode::Slow([up, _]) => up.piece(),
        };
        let holds = false;
        let mut client = BufReader::with_capacity(piece, Client { socket, holds });
        let head = Head::read(&mut client)?;
        let number = self.arrived(&head);
        if head.field("expect").is_some() {
            client.get_ref().send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let plan = match &self.mode {
            Mode::Faults(plan) => plan,
            Mode::Slow(paces) => return self.serve_slowly(&mut client, number, &head, paces),
        };
        let mut body = Body::default();
        let framing = head.framing(Framing::Length(0))?;
        read_body(&mut client, framing, |piece, is_data| {
            self.grow(number, piece, is_data);
            body.push(piece, is_data);
            Ok(())
        })?;
        let request = lock(&self.requests)[number - 1].clone();
        self.spoil(plan(&request), &mut client, Message { head, body })
    }

    /// What a fault makes of a request. A client that is left without an answer is reset.
    fn spoil(&self, fault: Fault, client: &mut BufReader<Client>, mut request: Message) -> Outcome {
        let answer = match fault {
            Fault::Pass => self.forward(&request)?,
            Fault::ResetBefore => return Ok(()),
            Fault::ResetAfter => return self.forward(&request).map(drop),
            Fault::Answer { status, body } => request.answered(status, &body),
            Fault::AnswerAfter { status, body } => {
                self.forward(&request)?;
                request.answered(status, &body)
            }
            Fault::TruncateResponse(bytes) => {
                let mut answer = self.forward(&request)?;
                answer.body.cut(bytes);
                answer
            }
            Fault::CorruptResponse => {
                let mut answer = self.forward(&request)?;
                answer.body.corrupt();
                answer
            }
            Fault::CorruptRequest => {
                request.body.corrupt();
                self.forward(&request)?
            }
            Fault::TruncateRequest if request.body.bytes() == 0 => return Ok(()),
            Fault::TruncateRequest => {
                request.body.cut(request.body.bytes() / 2);
                return Ok(self.connect()?.as_ref().write_all(&request.bytes())?);
            }
            Fault::StallBefore(time) => {
                self.rest(time)?;
                self.forward(&request)?
            }
            Fault::StallResponse(time) => {
                let mut answer = self.forward(&request)?;
                let all = answer.bytes();
                answer.body.cut(answer.body.bytes() / 2);
                let half = answer.bytes().len();
                client.get_ref().send(&all[..half])?;
                self.rest(time)?;
                client.get_ref().send(&all[half..])?;
                return finish(client);
            }
            Fault::Duplicate => {
                self.forward(&request)?;
                self.forward(&request)?
            }
            Fault::Hook { after, run } => {
                if !after {
                    run();
                }
                let answer = self.forward(&request)?;
                if after {
                    run();
                }
                answer
            }
        };
        client.get_ref().send(&answer.bytes())?;
        finish(client)
    }

    /// Sends a request to the server and reads its answer to the end.
    fn forward(&self, request: &Message) -> Result<Message> {
        let server = self.connect()?;
        // A server may answer, and close, before it has read everything.
        let _ = server.as_ref().write_all(&request.bytes());
        let mut from = BufReader::new(&*server);
        let (head, framing) = answer_head(&mut from, &request.head)?;
        let mut body = Body::default();
        read_body(&mut from, framing, |piece, is_data| {
            body.push(piece, is_data);
            Ok(())
        })?;
        Ok(Message { head, body })
    }

    fn serve_slowly(
        &self,
        client: &mut BufReader<Client>,
        number: usize,
        head: &Head,
        [up, down]: &[Pace; 2],
    ) -> Outcome {
        let server = self.connect()?;
        let server = server.as_ref();
        (&*server).write_all(&head.closing())?;
        let framing = head.framing(Framing::Length(0))?;
        read_body(client, framing, |piece, is_data| {
            self.rest(up.book(piece))?;
            self.grow(number, piece, is_data);
            // As above, the server may not want the rest.
            let _ = (&*server).write_all(piece);
            Ok(())
        })?;
        let mut from = BufReader::with_capacity(down.piece(), server);
        let (answer, framing) = answer_head(&mut from, head)?;
        client.get_ref().send(&answer.closing())?;
        read_body(&mut from, framing, |piece, _| {
            self.rest(down.book(piece))?;
            Ok(client.get_ref().send(piece)?)
        })?;
        finish(client)
    }

    fn connect(&self) -> Result<Arc<TcpStream>> {
        self.keep(TcpStream::connect(&self.upstream)?)
    }

    /// Sees to it that a socket does not outlast the proxy.
    fn keep(&self, socket: TcpStream) -> Result<Arc<TcpStream>> {
        socket.set_nodelay(true)?;
        let socket = Arc::new(socket);
        let mut live = lock(&self.live);
        if live.ended {
            return Err("the proxy has ended".into());
        }
        live.sockets.retain(|socket| socket.strong_count() > 0);
        live.sockets.push(Arc::downgrade(&socket));
        Ok(socket)
    }

    /// Waits, but not past the end of the proxy.
    fn rest(&self, time: Duration) -> Outcome {
        let live = lock(&self.live);
        let waited = self
            .ended
            .wait_timeout_while(live, time, |live| !live.ended);
        let (live, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if live.ended {
            return Err("the proxy has ended".into());
        }
        Ok(())
    }

    /// The number of a request that begins.
    fn arrived(&self, head: &Head) -> usize {
        let mut requests = lock(&self.requests);
        let number = requests.len() + 1;
        requests.push(Request {
            number,
            method: head.word(0),
            path: head.word(1),
            bytes: 0,
        });
        number
    }

    fn grow(&self, number: usize, piece: &[u8], is_data: bool) {
        if is_data {
            lock(&self.requests)[number - 1].bytes += piece.len();
        }
    }
}

/// Ends a connection in order: the client gets all that was sent, and then the end.
fn finish(client: &mut BufReader<Client>) -> Outcome {
    client.get_mut().let_go()?;
    client.get_ref().socket.shutdown(Shutdown::Write)?;
    io::copy(client, &mut io::sink())?;
    Ok(())
}

/// What a client sends. The last byte that was read stays in the socket: Linux resets a connection
/// that is closed before all was read, and std has no other way to ask for that.
struct Client {
    socket: Arc<TcpStream>,
    holds: bool,
}

impl Client {
    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.socket.as_ref().write_all(bytes)
    }

    fn let_go(&mut self) -> io::Result<()> {
        if mem::take(&mut self.holds) {
            self.socket.as_ref().read_exact(&mut [0])?;
        }
        Ok(())
    }
}

impl Read for Client {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.let_go()?;
        let count = self.socket.peek(buffer)?;
        if let Some(last) = count.checked_sub(1) {
            self.socket.as_ref().read_exact(&mut buffer[..last])?;
            self.holds = true;
        }
        Ok(count)
    }
}

/// The pace of one direction of a link.
struct Pace {
    bytes_per_second: u32,
    /// When everything has passed that was let in so far.
    free: Mutex<Instant>,
}

impl Pace {
    fn new(bytes_per_second: u32) -> Self {
        Self {
            bytes_per_second: bytes_per_second.max(1),
            free: Mutex::new(Instant::now()),
        }
    }

    /// As much as passes in a twentieth of a second, so that the flow is smooth.
    fn piece(&self) -> usize {
        let piece = usize::try_from(self.bytes_per_second / 20);
        piece.unwrap_or(PIECE).clamp(1, PIECE)
    }

    /// How long a piece takes from now until it has passed.
    fn book(&self, piece: &[u8]) -> Duration {
        let now = Instant::now();
        let mut free = lock(&self.free);
        let time = Duration::from_secs(piece.len() as u64) / self.bytes_per_second;
        *free = (*free).max(now) + time;
        free.duration_since(now)
    }
}

/// What a thread that panicked has left is still good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUT: &[u8] = b"PUT /a?b HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody";

    /// A proxy that answers by itself is as good as a server.
    fn server() -> Result<Proxy> {
        let body = "0123456789".to_owned();
        let status = 200;
        let answer = Fault::Answer { status, body };
        Proxy::start("", move |_| answer.clone())
    }

    /// What a client gets for what it sends: the status, the body, and whether the end came in
    /// order.
    fn ask(proxy: &Proxy, request: &[u8]) -> Result<(String, String, bool)> {
        let mut socket = TcpStream::connect(proxy.address)?;
        socket.write_all(request)?;
        let mut answer = Vec::new();
        let in_order = socket.read_to_end(&mut answer).is_ok();
        let answer = String::from_utf8(answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let status = head.split_whitespace().nth(1).unwrap_or_default();
        Ok((status.to_owned(), body.to_owned(), in_order))
    }

    /// Holds that a fault gives this status and this body, and how often the server is asked.
    fn befalls(fault: Fault, status: &str, body: &str, count: usize) -> Outcome {
        let server = server()?;
        let proxy = Proxy::start(&server.url(), move |_| fault.clone())?;
        let expected = (status.to_owned(), body.to_owned(), !status.is_empty());
        assert_eq!(ask(&proxy, PUT)?, expected);
        assert_eq!(server.requests().len(), count);
        let request = proxy.requests().pop().ok_or("nothing was seen")?;
        assert_eq!((request.number, request.bytes), (1, 4));
        assert_eq!((&*request.method, &*request.path), ("PUT", "/a?b"));
        Ok(())
    }

    #[test]
    fn a_request_or_a_reply_that_is_lost_is_a_connection_that_is_reset() -> Outcome {
        befalls(Fault::ResetBefore, "", "", 0)?;
        befalls(Fault::ResetAfter, "", "", 1)?;
        let server = server()?;
        let proxy = Proxy::start(&server.url(), |_| Fault::TruncateRequest)?;
        assert_eq!(ask(&proxy, PUT)?, Default::default());
        // The server may not have got to its half yet.
        assert!(server.requests().iter().all(|request| request.bytes <= 2));
        Ok(())
    }

    #[test]
    fn an_answer_is_passed_on_replaced_or_spoiled() -> Outcome {
        let (status, body) = (503, "<Error/>".to_owned());
        let answer = Fault::Answer { status, body };
        befalls(answer, "503", "<Error/>", 0)?;
        let body = "<Error/>".to_owned();
        let answer = Fault::AnswerAfter { status, body };
        befalls(answer, "503", "<Error/>", 1)?;
        let moment = Duration::from_millis(1);
        for fault in [
            Fault::Pass,
            Fault::CorruptRequest,
            Fault::StallBefore(moment),
            Fault::StallResponse(moment),
        ] {
            befalls(fault, "200", "0123456789", 1)?;
        }
        befalls(Fault::Duplicate, "200", "0123456789", 2)?;
        befalls(Fault::CorruptResponse, "200", "0123446789", 1)?;
        befalls(Fault::TruncateResponse(3), "200", "012", 1)
    }

    #[test]
    fn a_hook_runs_before_the_server_is_asked_or_after_it_answered() -> Outcome {
        for after in [false, true] {
            let server = Arc::new(server()?);
            let seen = Arc::new(Mutex::new(None));
            let (asked, noted) = (Arc::clone(&server), Arc::clone(&seen));
            let run = move || *lock(&noted) = Some(asked.requests().len());
            let run: Arc<dyn Fn() + Send + Sync> = Arc::new(run);
            let fault = Fault::Hook { after, run };
            let proxy = Proxy::start(&server.url(), move |_| fault.clone())?;
            ask(&proxy, PUT)?;
            assert_eq!(*lock(&seen), Some(usize::from(after)));
        }
        Ok(())
    }

    #[test]
    fn a_slow_link_passes_everything_on() -> Outcome {
        let server = server()?;
        let proxy = Proxy::start_slow(&server.url(), 100_000)?;
        let chunked = b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
        for request in [PUT, chunked] {
            let (status, body, in_order) = ask(&proxy, request)?;
            assert_eq!((&*status, &*body, in_order), ("200", "0123456789", true));
        }
        assert!(server.requests().iter().all(|request| request.bytes == 4));
        Ok(())
    }
}
