//! Requests: valid ones of every kind that `go` and people put, and what becomes of them by a few changes.

use std::collections::HashMap;

use crate::Module;

use super::Dice;

/// How a request is put on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Well formed, and answered with exactly one answer on a connection that stays.
    Good,
    /// Perhaps broken, perhaps the last of its connection: whatever comes is fine.
    Risky,
    /// As risky, in small pieces.
    Slow,
    /// As risky, and nobody waits for the answer.
    Leaving,
}

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) bytes: Vec<u8>,
    pub(super) manner: Manner,
    pub(super) is_head: bool,
    /// The path when the answer is to be the whole true file, should the status be 200.
    pub(super) whole: Option<String>,
}

/// What requests are made of.
#[derive(Debug)]
pub(super) struct Requests {
    host: String,
    files: HashMap<String, Vec<u8>>,
    paths: Vec<String>,
}

const METHODS: [&str; 12] = [
    "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "PROPFIND", "get", "G",
    "M-SEARCH", "HEAD",
];
const HOSTS: [&str; 10] = [
    "evil.example",
    "localhost",
    "127.0.0.1:1",
    "[::1]",
    "",
    "127.0.0.1:99999",
    "a@b",
    "[::1",
    "127.0.0.1.",
    "xn--nxasmq6b",
];
const RANGES: [&str; 14] = [
    "bytes=0-0",
    "bytes=0-",
    "bytes=-1",
    "bytes=-0",
    "bytes=5-2",
    "bytes=100-199",
    "bytes=0-1,3-4",
    "bytes=18446744073709551615-",
    "bytes=0-18446744073709551615",
    "bytes=-18446744073709551616",
    "lines=1-2",
    "bytes",
    "bytes=",
    "bytes=a-b",
];
/// Pieces that mean something somewhere.
const PIECES: [&str; 34] = [
    "..",
    ".",
    "/",
    "//",
    "%2f",
    "%2F",
    "%2e%2e",
    "%00",
    "%",
    "%zz",
    "%0a",
    "%0d%0a",
    "\\",
    "%5c",
    ";",
    "?x=y",
    "#f",
    "!",
    "!!",
    "!A",
    "%21",
    "%2521",
    "@v",
    "@latest",
    "@",
    "/@v/list",
    ".zip",
    ".proof",
    "%c3%a9",
    "%ff",
    "~",
    ":",
    "sumdb/",
    "+incompatible",
];

impl Requests {
    /// Requests to the host at `IP:PORT` about these modules.
    pub(super) fn new(host: &str, modules: &[Module]) -> Self {
        let mut files = HashMap::new();
        let mut paths = Vec::new();
        for module in modules {
            files.insert(module.url_path("mod"), module.go_mod());
            files.insert(module.url_path("zip"), module.zip());
            for extension in ["info", "mod", "zip"] {
                paths.push(module.url_path(extension));
            }
            let of = module.url_path("zip");
            let (base, _) = of.split_once("/@v/").expect("a path with @v");
            let version = module.version();
            paths.extend([
                format!("{base}/@v/list"),
                format!("{base}/@latest"),
                format!("{base}/@v/master.info"),
                format!("sumdb/sumdb.example.test/lookup/{base}@{version}"),
            ]);
        }
        for path in [
            "sumdb/sumdb.example.test/supported",
            "sumdb/sumdb.example.test/latest",
            "sumdb/sumdb.example.test/tile/8/0/000",
            "sumdb/sumdb.example.test/tile/8/0/001.p/7",
            "sumdb/sumdb.example.test/tile/8/0/x001/234",
            "sumdb/sumdb.example.test/tile/8/1/000.p/3",
            "sumdb/sumdb.example.test/tile/8/63/999.p/255",
            "sumdb/sum.golang.org/supported",
            "example.com/unlisted/@v/v1.0.0.zip",
            "example.com/unlisted/@v/v1.0.0.mod",
            "example.com/unlisted/@v/v1.0.0.info",
            "golang.org/toolchain/@v/v0.0.1-go1.25.0.linux-amd64.zip",
            "",
            "healthz",
            "readyz",
            "api/v1/status",
            "api/v1/peers",
            "favicon.ico",
        ] {
            paths.push(path.to_owned());
        }
        Self {
            host: host.to_owned(),
            files,
            paths,
        }
    }

    /// The bytes of the file at a path, if it is one.
    pub(super) fn file(&self, path: &str) -> Option<&Vec<u8>> {
        self.files.get(path)
    }

    /// The next request.
    pub(super) fn make(&self, dice: &mut Dice) -> Made {
        let mut manner = Manner::Good;
        let path = self.path(dice, &mut manner);
        let method = match dice.below(100) {
            0..80 => "GET",
            80..95 => "HEAD",
            _ => {
                // An answer to CONNECT may begin a tunnel, and TRACE is anybody's guess.
                manner = Manner::Risky;
                dice.one(&METHODS)
            }
        };
        let mut is_whole = method == "GET" && self.files.contains_key(&path);
        let mut headers = self.host_line(dice, &mut manner, &mut is_whole);
        self.headers(dice, &mut headers, &mut manner, &mut is_whole);
        let target = match dice.in_thousand(5) {
            true => format!("http://{}/{path}", self.host),
            false => format!("/{path}"),
        };
        let version = match dice.in_thousand(4) {
            true => {
                manner = Manner::Risky;
                dice.one(&[
                    "HTTP/1.0",
                    "HTTP/2.0",
                    "HTTP/0.9",
                    "HTTP/1.1.1",
                    "http/1.1",
                    "",
                ])
            }
            false => "HTTP/1.1",
        };
        let mut bytes = format!("{method} {target} {version}\r\n{headers}\r\n").into_bytes();
        if dice.in_thousand(15) {
            manner = Manner::Risky;
            bytes.extend(body(dice));
        }
        if dice.in_thousand(20) {
            manner = Manner::Risky;
            spoil(dice, &mut bytes);
        }
        match dice.below(1000) {
            0 => manner = Manner::Slow,
            1..4 => manner = Manner::Leaving,
            _ => {}
        }
        Made {
            bytes,
            manner,
            is_head: method == "HEAD",
            whole: (is_whole && manner == Manner::Good).then_some(path),
        }
    }

    fn path(&self, dice: &mut Dice, manner: &mut Manner) -> String {
        let mut path = self.paths[dice.below(self.paths.len())].clone();
        if dice.in_thousand(5) {
            return "metrics".to_owned();
        }
        // Most of the large file's bytes are the same: once in a while is enough.
        if path.ends_with("two/v2/@v/v2.3.4.zip") && !dice.in_thousand(50) {
            path = "example.com/hello/@v/v1.0.0.zip".to_owned();
        }
        match dice.below(100) {
            0..55 => return path,
            // Names that nobody has, of every length.
            55..60 => return stranger(dice),
            60..63 => path = encode_some(dice, &path),
            63..66 => path = path.repeat(1 + dice.below(3)),
            66..68 => path = long(dice, &path),
            _ => {
                for _ in 0..=dice.below(3) {
                    change(dice, &mut path);
                }
            }
        }
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"<>\"`^{}|#\\".contains(&byte);
        if !path.bytes().all(is_plain) || path.len() > 60_000 {
            *manner = Manner::Risky;
        }
        path
    }

    fn host_line(&self, dice: &mut Dice, manner: &mut Manner, is_whole: &mut bool) -> String {
        if !dice.in_thousand(30) {
            return format!("Host: {}\r\n", self.host);
        }
        *is_whole = false;
        match dice.below(4) {
            0 => String::new(),
            1 => format!("Host: {0}\r\nHost: {0}\r\n", self.host),
            2 => {
                *manner = Manner::Risky;
                format!("Host: {}\r\n", text(dice, 300))
            }
            _ => format!("Host: {}\r\n", dice.one(&HOSTS)),
        }
    }

    fn headers(
        &self,
        dice: &mut Dice,
        lines: &mut String,
        manner: &mut Manner,
        is_whole: &mut bool,
    ) {
        let mut line = |name: &str, value: &str| {
            lines.push_str(&format!("{name}: {value}\r\n"));
        };
        if dice.in_thousand(80) {
            *is_whole = false;
            line("Range", dice.one(&RANGES));
            if dice.in_thousand(300) {
                line(
                    "If-Range",
                    dice.one(&["\"x\"", "*", "W/\"x\"", "Mon, 01 Jan 2024 00:00:00 GMT"]),
                );
            }
        }
        if dice.in_thousand(40) {
            *is_whole = false;
            line(
                "If-None-Match",
                dice.one(&["*", "\"x\"", "W/\"x\", \"y\"", ",,,", "\""]),
            );
        }
        if dice.in_thousand(30) {
            *is_whole = false;
            line(
                "Origin",
                dice.one(&["null", "http://evil.example", "", "http://localhost"]),
            );
        }
        if dice.in_thousand(30) {
            *is_whole = false;
            line(
                "Sec-Fetch-Site",
                dice.one(&["none", "cross-site", "same-origin", "same-site", ""]),
            );
        }
        if dice.in_thousand(100) {
            line(
                "Accept-Encoding",
                dice.one(&["gzip", "identity;q=0", "*;q=0", "br, gzip;q=1.0"]),
            );
            line("User-Agent", "Go-http-client/1.1");
        }
        if dice.in_thousand(20) {
            line("X-Long", &"x".repeat(dice.below(6000)));
        }
        if dice.in_thousand(10) {
            for number in 0..dice.below(80) {
                line(&format!("X-{number}"), "y");
            }
        }
        if dice.in_thousand(10) {
            *manner = Manner::Risky;
            let name = dice.one(&[
                "Connection",
                "Upgrade",
                "Expect",
                "Transfer-Encoding",
                "Content-Length",
                "TE",
                "Trailer",
            ]);
            line(
                name,
                dice.one(&[
                    "close",
                    "keep-alive",
                    "h2c",
                    "100-continue",
                    "chunked",
                    "0",
                    "5",
                    "-1",
                    "99999999999999999999",
                    "upgrade",
                ]),
            );
        }
        if dice.in_thousand(10) {
            *manner = Manner::Risky;
            let (name, value) = (text(dice, 30), text(dice, 3000));
            line(&name, &value);
        }
    }
}

/// A module or a version that nobody has.
fn stranger(dice: &mut Dice) -> String {
    let name = dice.bits() % 100_000;
    let element = "e".repeat(1 + dice.below(60));
    let file = dice.one(&[
        "list",
        "v1.0.0.info",
        "v1.0.0.mod",
        "v1.0.0.zip",
        "v9.9.9-pre.0.info",
        "some/branch.info",
    ]);
    match dice.below(5) {
        0 => format!("example.com/hello/@v/v7.{name}.0.mod"),
        1 => format!("sumdb/sumdb.example.test/lookup/example.com/n{name}@v1.0.0"),
        2 => format!("example.com/{element}/n{name}/@latest"),
        _ => format!("example.com/{element}{name}/@v/{file}"),
    }
}

fn encode_some(dice: &mut Dice, path: &str) -> String {
    let times = dice.below(3);
    path.bytes().fold(String::new(), |mut encoded, byte| {
        if dice.in_thousand(200) {
            encoded.push_str(dice.one(&["%", "%25"]));
            encoded.push_str(&format!("{byte:02x}"));
        } else {
            encoded.extend(std::iter::repeat_n(char::from(byte), times.max(1)));
        }
        encoded
    })
}

/// A path near or past a bound.
fn long(dice: &mut Dice, path: &str) -> String {
    let length = [
        250, 255, 256, 500, 1000, 4000, 8000, 8192, 8193, 20_000, 70_000,
    ][dice.below(11)];
    let filler = dice.one(&["a", "a/", "!a", "%41", ".", "1"]);
    let long = filler.repeat(length / filler.len());
    match dice.below(4) {
        0 => format!("example.com/{long}/@v/list"),
        1 => format!("example.com/hello/@v/v1.0.0-{long}.mod"),
        2 => format!("example.com/hello/@v/{long}.info"),
        _ => format!("{path}{long}"),
    }
}

fn change(dice: &mut Dice, path: &mut String) {
    let at = dice.below(path.len() + 1);
    // A change in the middle of a character would be none of a path.
    if !path.is_char_boundary(at) {
        return;
    }
    match dice.below(5) {
        0 => path.truncate(at),
        1 => path.insert_str(at, dice.one(&PIECES)),
        2 => path.insert(at, char::from(dice.below(256) as u8)),
        3 if at < path.len() => {
            path.remove(at);
        }
        _ => {
            let tail = path.split_off(at);
            path.push_str(dice.one(&PIECES));
            path.push_str(tail.get(1..).unwrap_or_default());
        }
    }
}

fn text(dice: &mut Dice, length_max: usize) -> String {
    let length = dice.below(length_max);
    (0..length)
        .map(|_| char::from(dice.below(256) as u8))
        .collect()
}

fn body(dice: &mut Dice) -> Vec<u8> {
    let chunk = dice.one(&[
        "0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffff\r\n",
        "-1\r\n",
        "\r\n",
        "5;x=y\r\nhel",
    ]);
    match dice.below(3) {
        0 => {
            let length = dice.below(5000);
            dice.bytes(length)
        }
        _ => chunk.as_bytes().to_vec(),
    }
}

/// Changes bytes without any thought.
fn spoil(dice: &mut Dice, bytes: &mut Vec<u8>) {
    for _ in 0..=dice.below(4) {
        if bytes.is_empty() {
            return;
        }
        let at = dice.below(bytes.len());
        match dice.below(5) {
            0 => bytes[at] ^= 1 << dice.below(8),
            1 => bytes.truncate(at),
            2 => {
                bytes.remove(at);
            }
            3 => bytes.insert(at, dice.bits() as u8),
            _ => {
                let piece = dice.one(&["\r\n", "\n", "\r", "\0", " ", "\r\n\r\n", ": "]);
                bytes.splice(at..at, piece.bytes());
            }
        }
    }
}
