//! A real session for tests: a keeper with its X server and programs.

use crate::dtu::{Dtu, Link, Shown};
use afterglow_link::certificates::{Authority, Credentials};
use afterglow_link::quic::{Liveness, connect_as, opening_endpoint};
use afterglow_link::stream::{MessageReader, MessageWriter};
use afterglow_link::tls::Accept;
use afterglow_server::keeper::session_dir::{self, NAME_BYTES, SOCKET};
use afterglow_wire::codec::Message as _;
use afterglow_wire::display::{ALPN, AttachDisplay, Detached, FromSession};
use afterglow_wire::framebuffer::Framebuffer;
use afterglow_wire::ids::{Epoch, SessionId, Size, Token, TokenKind};
use afterglow_wire::local::{
    Clocks, CommandLine, Der, FromKeeper, KeeperStart, SessionSpec, StartOrder, Started, Status,
    ToKeeper, WarmSpec,
};
use afterglow_wire::quality::Quality;
use afterglow_wire::service::ServiceSpec;
use afterglow_wire::ticket::{Permit, SHORT_LIFE_MS, Ticket};
use afterglow_wire::trust::{GroupKey, Role};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Longer than anything here takes on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Each session of this process gets a range of ports of its own.
static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

pub fn group_key() -> GroupKey {
    GroupKey::from_file_content(&[7; 32]).unwrap()
}

/// A keeper and everything that it started.
pub struct Session {
    keeper: Child,
    pub port: u16,
    pub spec: SessionSpec,
    dir: tempfile::TempDir,
}

/// What a test wants to be different.
pub struct Options {
    pub desktop: Vec<String>,
    pub size: Size,
    pub size_max: Size,
    pub quality: Quality,
    pub keymap: &'static str,
    /// The environment's PATH, where programs are to be missing.
    pub path: Option<String>,
    /// The ports to choose from, if not some of its own.
    pub ports: Option<(u16, u16)>,
    /// Prepare only, and wait for an order.
    pub hold: bool,
    /// Bring only an X server up, and wait to be told what for.
    pub warm: bool,
    /// Files of the home, and what is in them.
    pub files: Vec<(&'static str, String)>,
    /// The catalogue of services.
    pub services: Vec<ServiceSpec>,
    pub epoch: Epoch,
    /// The services that ran in the copy before it.
    pub ran: Vec<&'static str>,
    /// A shell's words before the keeper: `exec "$@"` is added to them.
    pub before: String,
}

impl Options {
    /// A desktop that is one shell command.
    pub fn shell(command: &str) -> Self {
        Options {
            desktop: ["sh", "-c", command].map(String::from).to_vec(),
            size: Size::new(640, 480).unwrap(),
            size_max: Size::new(1280, 1024).unwrap(),
            quality: Quality::Lossless,
            keymap: "us",
            path: None,
            ports: None,
            hold: false,
            warm: false,
            files: Vec::new(),
            services: Vec::new(),
            epoch: Epoch::FIRST,
            ran: Vec::new(),
            before: String::new(),
        }
    }
}

/// A session's start that has begun. When it is dropped the keeper's standard
/// input ends.
pub struct Start {
    pub keeper: Child,
    pub spec: SessionSpec,
    to_keeper: Option<ChildStdin>,
    from_keeper: ChildStdout,
    dir: tempfile::TempDir,
}

impl Start {
    /// Starts the keeper and hands it the description.
    pub fn new(options: Options) -> Start {
        let dir = tempfile::tempdir().unwrap();
        let mut random = [0; NAME_BYTES];
        aws_lc_rs::rand::fill(&mut random).unwrap();
        let runtime_dir = dir.path().join(session_dir::name(random));
        let home_dir = dir.path().join("home");
        std::fs::create_dir(&runtime_dir).unwrap();
        if !options.hold && !options.warm {
            std::fs::create_dir(&home_dir).unwrap();
        }
        for (name, content) in &options.files {
            let path = home_dir.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        let spec = spec(&options, &runtime_dir, &home_dir);
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("{}\nexec \"$@\"", options.before), "sh"]);
        command.args([env!("CARGO_BIN_EXE_afterglow-session"), "keeper"]);
        command.env("SESSION_DIR", &runtime_dir).env("HOME_DIR", &home_dir);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let log = std::fs::File::create(dir.path().join("keeper.log")).unwrap();
        command.stderr(log);
        if let Some(path) = &options.path {
            command.env("PATH", path);
        }
        let mut keeper = command.spawn().unwrap();
        let mut to_keeper = keeper.stdin.take().unwrap();
        let session = Box::new(spec.clone());
        let start = match options.warm {
            false => KeeperStart::Session(session),
            true => KeeperStart::Warm(WarmSpec {
                runtime_dir: spec.runtime_dir.clone(),
                size_max: spec.size_max,
                listen: spec.listen,
                port_last: spec.port_last,
            }),
        };
        to_keeper.write_all(&start.encode_framed()).unwrap();
        let from_keeper = keeper.stdout.take().unwrap();
        Start { keeper, spec, to_keeper: Some(to_keeper), from_keeper, dir }
    }

    /// Tells the keeper what becomes of a held start.
    pub fn order(&mut self, order: StartOrder) {
        self.write(&order.encode_framed());
    }

    /// Puts bytes on the keeper's standard input.
    pub fn write(&mut self, bytes: &[u8]) {
        self.to_keeper.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// Ends the keeper's standard input.
    pub fn hang_up(&mut self) {
        self.to_keeper = None;
    }

    /// What the keeper reports next; `None` if it has let go of its output.
    pub fn report(&mut self) -> Option<Started> {
        let mut len = [0; 4];
        self.from_keeper.read_exact(&mut len).ok()?;
        let mut report = vec![0; u32::from_le_bytes(len) as usize];
        self.from_keeper.read_exact(&mut report).unwrap();
        Some(Started::decode(report.into()).unwrap())
    }

    /// Takes the last report; the error is what the keeper says.
    pub fn into_session(mut self) -> Result<Session, String> {
        let last = self.report();
        assert_eq!(self.report(), None, "after {last:?}");
        match last.expect("a report") {
            Started::Ready { port } => {
                Ok(Session { keeper: self.keeper, port, spec: self.spec, dir: self.dir })
            }
            Started::Failed { text } => {
                self.wait_for_nothing();
                Err(text)
            }
            Started::Prepared => panic!("it stayed prepared"),
        }
    }

    /// Waits for the keeper's end; nothing of the session may be left then.
    pub fn wait_for_nothing(&mut self) -> ExitStatus {
        let status = self.keeper.wait().unwrap();
        assert!(!Path::new(&self.spec.runtime_dir).exists(), "it left its directory");
        assert_eq!(self.marked(), [0; 0], "it left processes");
        status
    }

    /// Live processes of the session, the keeper and its worker aside.
    pub fn marked(&self) -> Vec<u32> {
        marked(&self.spec)
    }

    /// What the keeper started itself: the X server and the worker.
    pub fn children(&self) -> Vec<u32> {
        children_of(self.keeper.id())
    }
}

impl Session {
    /// Starts a session that has to come up.
    pub fn start(options: Options) -> Session {
        match Session::try_start(options) {
            Ok(session) => session,
            Err(text) => panic!("the session did not start: {text}"),
        }
    }

    /// Starts a session; the error is what the keeper reports.
    pub fn try_start(options: Options) -> Result<Session, String> {
        let mut start = Start::new(options);
        // What follows the description is of no interest to a start that is
        // not held.
        start.hang_up();
        start.into_session()
    }

    /// A file in the session's home directory.
    pub fn home(&self, file: &str) -> PathBuf {
        Path::new(&self.spec.home_dir).join(file)
    }

    pub fn keeper_pid(&self) -> u32 {
        self.keeper.id()
    }

    /// The present worker's process.
    pub fn worker_pid(&self) -> Option<u32> {
        self.child(|words| words.nth(1) == Some(b"worker"))
    }

    /// The X server's process.
    pub fn x_server_pid(&self) -> Option<u32> {
        self.child(|words| words.next() == Some(b"Xvfb"))
    }

    fn child(&self, wanted: impl Fn(&mut dyn Iterator<Item = &[u8]>) -> bool) -> Option<u32> {
        children_of(self.keeper.id()).into_iter().find(|pid| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| wanted(&mut line.split(|b| *b == 0)))
        })
    }

    /// A server's connection to the keeper.
    pub async fn server(&self) -> Server {
        let path = Path::new(&self.spec.runtime_dir).join(SOCKET);
        let (reading, writing) = UnixStream::connect(path).await.unwrap().into_split();
        Server { reader: MessageReader::new(reading), writer: MessageWriter::new(writing) }
    }

    /// The same for a keeper with mounts of its own.
    pub async fn server_inside(&self) -> Server {
        let dir = format!("/proc/{}/root{}", self.keeper.id(), self.spec.runtime_dir);
        let stream = UnixStream::connect(Path::new(&dir).join(SOCKET)).await.unwrap();
        let (reading, writing) = stream.into_split();
        Server { reader: MessageReader::new(reading), writer: MessageWriter::new(writing) }
    }

    /// A ticket as the server would give it.
    pub fn ticket(&self, dtu: &Dtu) -> Ticket {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let mut nonce = [0; 16];
        aws_lc_rs::rand::fill(&mut nonce).unwrap();
        Ticket {
            permit: Permit::Attach,
            issuer: self.spec.server.clone(),
            ends_ms: now.as_millis() as u64 + SHORT_LIFE_MS,
            nonce,
            dtu: dtu.id,
            token: self.spec.token.clone(),
            session: self.spec.session,
            epoch: self.spec.epoch,
            insert: 1,
            connection: 1,
        }
    }

    /// Opens a display link and says nothing yet.
    pub async fn connect(&self, credentials: &Credentials) -> Link {
        let connection = connect(&self.spec, self.port, credentials).await;
        let (sending, receiving) = connection.open_bi().await.unwrap();
        Link {
            reader: MessageReader::new(receiving),
            writer: MessageWriter::new(sending),
            connection,
        }
    }

    /// Attaches, or gives why not.
    pub async fn try_attach(&self, dtu: &Dtu, ticket: Ticket) -> Result<Shown, Detached> {
        let mut link = self.connect(&dtu.credentials).await;
        let attach = AttachDisplay {
            ticket: ticket.seal(&group_key().ticket_signer()),
            dtu_name: dtu.name.clone(),
            screen: dtu.screen,
            keymap: dtu.keymap.parse().unwrap(),
        };
        link.writer.send(attach).await.unwrap();
        match link.next().await {
            Some(FromSession::Attached(attached)) => Ok(Shown::new(link, attached)),
            Some(FromSession::Detached(detached)) => Err(detached),
            other => panic!("{other:?}"),
        }
    }

    pub async fn attach(&self, dtu: &Dtu) -> Shown {
        self.try_attach(dtu, self.ticket(dtu)).await.unwrap()
    }

    pub fn x_connection(&self, display: &str) -> x11rb::rust_connection::RustConnection {
        x_connection(&self.spec, display)
    }

    /// The content of a file in the home directory, once it is there whole:
    /// ended by a newline.
    pub async fn wait_for_file(&self, name: &str) -> String {
        let path = self.home(name);
        wait_for(&format!("{}", path.display()), || {
            std::fs::read_to_string(&path).ok().filter(|text| text.ends_with('\n'))
        })
        .await
    }

    /// Waits until nothing of the session is left.
    pub async fn wait_for_end(&mut self) {
        let (keeper, spec) = (&mut self.keeper, &self.spec);
        wait_for("the keeper's end", || keeper.try_wait().unwrap()).await;
        wait_for("the end of all processes", || marked(spec).is_empty().then_some(())).await;
        let dir = Path::new(&spec.runtime_dir);
        wait_for("the directory's end", || (!dir.exists()).then_some(())).await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Ok(None) = self.keeper.try_wait() {
            let pid = rustix::process::Pid::from_child(&self.keeper);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let _ = self.keeper.wait();
        }
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.dir.path().join("keeper.log"));
            eprintln!("--- keeper.log\n{}", log.unwrap_or_default());
        }
    }
}

/// A connection to a session's port, once somebody answers there.
pub async fn connect(
    spec: &SessionSpec,
    port: u16,
    credentials: &Credentials,
) -> quinn::Connection {
    let endpoint = opening_endpoint().unwrap();
    let accept = Accept::Session {
        group: Authority::of_group(&group_key()).unwrap().group_id().unwrap(),
        id: spec.session,
        epoch: spec.epoch,
    };
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    connect_as(&endpoint, address, credentials, accept, ALPN, Liveness::DISPLAY).await.unwrap()
}

/// Asks until there is an answer, for as long as patience lasts.
pub async fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < until, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn spec(options: &Options, runtime_dir: &Path, home_dir: &Path) -> SessionSpec {
    let key = group_key();
    let authority = Authority::of_group(&key).unwrap();
    let mut id = [0; 16];
    aws_lc_rs::rand::fill(&mut id).unwrap();
    let (session, epoch) = (SessionId(id), options.epoch);
    let credentials = authority.issue(&Role::Session { id: session, epoch }).unwrap();
    let slot = NEXT_PORT.fetch_add(1, Ordering::Relaxed) % 50;
    let own = 20000 + (std::process::id() % 200) as u16 * 200 + slot * 4;
    let (port, port_last) = options.ports.unwrap_or((own, own + 100));
    let der = |bytes: &[u8]| Der(bytes.to_vec().into());
    SessionSpec {
        session,
        epoch,
        server: "mud".parse().unwrap(),
        token: Token::new(TokenKind::Soft, "anna").unwrap(),
        runtime_dir: runtime_dir.to_str().unwrap().into(),
        home_dir: home_dir.to_str().unwrap().into(),
        desktop: CommandLine(options.desktop.clone()),
        size_max: options.size_max,
        size: options.size,
        keymap: options.keymap.parse().unwrap(),
        listen: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port),
        port_last,
        certificate: der(&credentials.chain[0]),
        certificate_key: der(credentials.key.secret_pkcs8_der()),
        authority: der(authority.certificate()),
        ticket_key: key.ticket_signer().verifier().0,
        clocks: Clocks::default(),
        hold: options.hold,
        services: options.services.iter().cloned().collect(),
        ran: options.ran.iter().map(|name| name.parse().unwrap()).collect(),
        quality: options.quality,
    }
}

fn children_of(parent: u32) -> Vec<u32> {
    pids()
        .filter(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let after_name = stat.rsplit(')').next().unwrap_or("");
            after_name.split_whitespace().nth(1) == Some(&parent.to_string())
        })
        .collect()
}

fn pids() -> impl Iterator<Item = u32> {
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
}

/// Live processes with the session's mark.
fn marked(spec: &SessionSpec) -> Vec<u32> {
    let mark = session_dir::mark(Path::new(&spec.runtime_dir));
    let mark = format!("AFTERGLOW_SESSION={mark}");
    pids()
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|environ| environ.split(|b| *b == 0).any(|pair| pair == mark.as_bytes()))
        })
        .collect()
}

/// A connection to a session's X server.
pub fn x_connection(spec: &SessionSpec, display: &str) -> x11rb::rust_connection::RustConnection {
    let number = display.trim().trim_start_matches(':').parse().unwrap();
    let authority_file = Path::new(&spec.runtime_dir).join("Xauthority");
    let content = std::fs::read(&authority_file).unwrap();
    let cookie = *content.last_chunk().unwrap();
    afterglow_server::desktop::Display { number, cookie, authority_file }.connect().unwrap()
}

pub fn x_picture(connection: &x11rb::rust_connection::RustConnection) -> Framebuffer {
    use x11rb::connection::Connection as _;
    use x11rb::protocol::xproto::{ConnectionExt as _, ImageFormat};
    let root = connection.setup().roots[0].root;
    let geometry = connection.get_geometry(root).unwrap().reply().unwrap();
    let image = connection
        .get_image(ImageFormat::Z_PIXMAP, root, 0, 0, geometry.width, geometry.height, !0)
        .unwrap()
        .reply()
        .unwrap();
    let mut picture = Framebuffer::new(Size::new(geometry.width, geometry.height).unwrap());
    for (to, from) in picture.pixels_mut().chunks_exact_mut(4).zip(image.data.chunks_exact(4)) {
        to[..3].copy_from_slice(&from[..3]);
    }
    picture
}

/// A server at the keeper's socket.
pub struct Server {
    reader: MessageReader<tokio::net::unix::OwnedReadHalf, FromKeeper>,
    pub writer: MessageWriter<tokio::net::unix::OwnedWriteHalf, ToKeeper>,
}

impl Server {
    pub async fn next(&mut self) -> Option<FromKeeper> {
        timeout(PATIENCE, self.reader.next()).await.expect("the keeper says nothing").unwrap()
    }

    /// Reads on until the status is as wanted.
    pub async fn status(&mut self, wanted: impl Fn(&Status) -> bool) -> Status {
        loop {
            match self.next().await {
                Some(FromKeeper::Status(status)) if wanted(&status) => return status,
                Some(FromKeeper::Status(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Reads on until the session is over; gives why.
    pub async fn ended(&mut self) -> String {
        loop {
            match self.next().await {
                Some(FromKeeper::Ended(ended)) => return ended.text,
                Some(FromKeeper::Status(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}
