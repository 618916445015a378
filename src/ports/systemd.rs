//! systemd: a service manager is told how a service stands, as `sd_notify` does it.
//!
//! Promise: telling never waits and never fails the service: where nobody listens, nothing is said.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The service manager that started this process.
#[derive(Debug)]
pub struct Systemd {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Systemd {
    /// The manager that listens at an address, as `NOTIFY_SOCKET` has it: a path, or a name in the
    /// abstract namespace after an `@`.
    ///
    /// # Errors
    /// An `io::Error` if the address is none, or if there is no socket to be had.
    pub fn at(address: &OsStr) -> io::Result<Self> {
        let address = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            [b'/', ..] => SocketAddr::from_pathname(address)?,
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, address })
    }

    /// The service has started.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// The service is alive.
    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// What the service does, in one line.
    pub fn status(&self, text: &str) {
        self.send(&format!("STATUS={}", text.replace(['\n', '\r'], " ")));
    }

    /// The service ends, as it was asked to.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    fn send(&self, message: &str) {
        // A manager that does not listen is no reason to stop.
        let _ = self.socket.send_to_addr(message.as_bytes(), &self.address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn hears(listener: &UnixDatagram, address: &OsStr) -> io::Result<Vec<String>> {
        listener.set_read_timeout(Some(Duration::from_secs(30)))?;
        let systemd = Systemd::at(address)?;
        systemd.ready();
        systemd.status("two\nlines");
        systemd.alive();
        systemd.stopping();
        let mut heard = Vec::new();
        for _ in 0..4 {
            let mut bytes = [0; 100];
            let length = listener.recv(&mut bytes)?;
            heard.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
        }
        Ok(heard)
    }

    const SAID: [&str; 4] = ["READY=1", "STATUS=two lines", "WATCHDOG=1", "STOPPING=1"];

    #[test]
    fn a_manager_hears_at_a_path_and_at_an_abstract_name() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("notify");
        let listener = UnixDatagram::bind(&path)?;
        assert_eq!(hears(&listener, path.as_os_str())?, SAID);
        let name = format!("sealift-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name)?;
        let listener = UnixDatagram::bind_addr(&address)?;
        assert_eq!(hears(&listener, OsStr::new(&format!("@{name}")))?, SAID);
        Ok(())
    }

    #[test]
    fn where_nobody_listens_nothing_happens() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        Systemd::at(folder.path().join("nobody").as_os_str())?.ready();
        for none in ["", "vsock:2:1"] {
            assert!(Systemd::at(OsStr::new(none)).is_err(), "{none}");
        }
        Ok(())
    }
}
