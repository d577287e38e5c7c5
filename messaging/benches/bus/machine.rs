//! Where it was measured, and of what: the head of the table.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use lapin::uri::AMQPUri;

/// The distributions of the Python peers whose versions matter.
const DISTRIBUTIONS: [&str; 5] = ["oslo.messaging", "kombu", "amqp", "jsonrpclib-pelix", "zerorpc"];

/// The machine, and how busy it was before the measurements.
pub(crate) fn describe() -> Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
    let memory = fs::read_to_string("/proc/meminfo")?;
    let kib: u64 = memory.split_whitespace().nth(1).context("no MemTotal in /proc/meminfo")?.parse()?;
    let load = fs::read_to_string("/proc/loadavg")?;
    Ok(format!(
        "{}; {} x {}, {} GiB, Linux {}; load before the run {}",
        jiff::Zoned::now().date(),
        std::thread::available_parallelism()?,
        model.unwrap_or("unknown CPU"),
        kib.div_ceil(1024 * 1024),
        fs::read_to_string("/proc/sys/kernel/osrelease")?.trim(),
        load.split_whitespace().next().context("an empty /proc/loadavg")?,
    ))
}

/// The versions of what is written in Rust.
pub(crate) fn ours() -> Result<String> {
    let rustc = Command::new("rustc").arg("--version").output()?;
    let rustc = String::from_utf8(rustc.stdout)?;
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock"))?;
    let lapin = lock
        .split_once("name = \"lapin\"\nversion = \"")
        .and_then(|(_, rest)| rest.split('"').next())
        .context("no lapin in Cargo.lock")?;
    let rustc = rustc.split_whitespace().nth(1).unwrap_or("unknown");
    Ok(format!("novella-messaging {}, lapin {lapin}, rustc {rustc}", env!("CARGO_PKG_VERSION")))
}

/// The versions of what is installed for an interpreter.
pub(crate) fn peers(interpreter: &Path) -> Result<String> {
    let program = "import platform, sys; from importlib.metadata import version\n\
                   print('Python', platform.python_version(), end='')\n\
                   for name in sys.argv[1:]: print(',', name, version(name), end='')";
    let output = Command::new(interpreter).args(["-c", program]).args(DISTRIBUTIONS).output()?;
    anyhow::ensure!(output.status.success(), "the versions: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// What the broker says it is, in the first frame it sends, before anybody has logged in.
pub(crate) fn broker(url: &str) -> Result<String> {
    let uri: AMQPUri = url.parse().map_err(anyhow::Error::msg)?;
    let mut stream = TcpStream::connect((uri.authority.host.as_str(), uri.authority.port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"AMQP\x00\x00\x09\x01")?;
    // Type, channel and length; then as many bytes.
    let mut head = [0; 7];
    stream.read_exact(&mut head)?;
    let mut frame = vec![0; u32::from_be_bytes([head[3], head[4], head[5], head[6]]).try_into()?];
    stream.read_exact(&mut frame)?;
    let property = |name: &str| text_after(&frame, name).context("a broker that does not tell its version");
    Ok(format!("{} {}", property("product")?, property("version")?))
}

/// The long string of this name in an AMQP table: the name with its length, `S`, and the text with its own.
fn text_after(table: &[u8], name: &str) -> Option<String> {
    let key = [&[u8::try_from(name.len()).ok()?], name.as_bytes(), b"S"].concat();
    let start = table.windows(key.len()).position(|window| window == key)? + key.len();
    let (length, rest) = table.get(start..)?.split_first_chunk()?;
    Some(String::from_utf8_lossy(rest.get(..u32::from_be_bytes(*length).try_into().ok()?)?).into_owned())
}
