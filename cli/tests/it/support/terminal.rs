//! A real pseudo-terminal with a program in it, and what is to be seen there.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    num::NonZero,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Termios, Winsize, tcgetattr, tcsetwinsize},
};

use super::cloud::LIMIT;

/// As small as a terminal is by default, and as the parser takes it to be.
pub const ROWS: u16 = 24;
pub const COLUMNS: u16 = 80;

pub struct Terminal {
    child: Child,
    /// What is typed goes in here.
    keyboard: File,
    /// The program's side.
    line: File,
    parser: Arc<Mutex<vt100::Parser<Pictures>>>,
    before: Termios,
}

/// What a user sees: a picture that is being drawn is shown once it is whole (synchronized output, DEC mode 2026).
#[derive(Default)]
struct Pictures {
    is_drawing: bool,
    last: String,
}

impl vt100::Callbacks for Pictures {
    fn unhandled_csi(&mut self, screen: &mut vt100::Screen, i1: Option<u8>, _: Option<u8>, params: &[&[u16]], c: char) {
        if i1 == Some(b'?') && params == [[2026]] {
            self.is_drawing = c == 'h';
            self.last = screen.contents();
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Terminal {
    /// Starts a command as its leader.
    pub fn start(command: &Command) -> Self {
        let controller: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap();
        let path = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
        let line = OpenOptions::new().read(true).write(true).open(path).unwrap();
        tcsetwinsize(&line, Winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let before = tcgetattr(&line).unwrap();
        // With the terminal as its own, whatever that of the tests is.
        let mut leader = Command::new("setsid");
        leader.args(["--ctty", "--wait"]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => leader.env(name, value),
                None => leader.env_remove(name),
            };
        }
        leader.env("TERM", "xterm-256color").env_remove("NO_COLOR");
        let end = || Stdio::from(line.try_clone().unwrap());
        let child = leader.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let keyboard = File::from(controller);
        let parser = vt100::Parser::new_with_callbacks(
            NonZero::new(ROWS).unwrap(),
            NonZero::new(COLUMNS).unwrap(),
            0,
            Pictures::default(),
        );
        let parser = Arc::new(Mutex::new(parser));
        let (mut screen, seen) = (keyboard.try_clone().unwrap(), Arc::clone(&parser));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                seen.lock().unwrap_or_else(PoisonError::into_inner).process(&bytes[..count]);
            }
        });
        Self { child, keyboard, line, parser, before }
    }

    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// What is on the screen now.
    pub fn shown(&self) -> String {
        let parser = self.parser.lock().unwrap_or_else(PoisonError::into_inner);
        if parser.callbacks().is_drawing { parser.callbacks().last.clone() } else { parser.screen().contents() }
    }

    /// Waits until something is on the screen.
    pub async fn see(&mut self, text: &str) {
        self.see_that(text, |shown| shown.contains(text)).await;
    }

    /// Waits until the screen is so.
    pub async fn see_that(&mut self, what: &str, holds: impl Fn(&str) -> bool) {
        let begun = Instant::now();
        loop {
            let shown = self.shown();
            if holds(&shown) {
                return;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && begun.elapsed() < LIMIT, "no '{what}' on the screen ({ended:?}):\n{shown}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Waits until something is on the screen of a program that has ended.
    pub async fn see_last(&mut self, text: &str) {
        super::cloud::wait_for(text, async || self.shown().contains(text)).await;
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the program has ended.
    pub fn end(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < LIMIT, "it does not end:\n{}", self.shown());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// Fails unless the program has left the terminal as it found it.
    pub async fn assert_given_back(&mut self) {
        let now = tcgetattr(&self.line).unwrap();
        assert_eq!(now.local_modes, self.before.local_modes);
        assert_eq!(now.input_modes, self.before.input_modes);
        assert_eq!(now.output_modes, self.before.output_modes);
        // What it wrote last is read a moment later.
        let begun = Instant::now();
        loop {
            let (other_screen, hidden) = {
                let parser = self.parser.lock().unwrap_or_else(PoisonError::into_inner);
                (parser.screen().alternate_screen(), parser.screen().hide_cursor())
            };
            if !other_screen && !hidden {
                return;
            }
            assert!(begun.elapsed() < LIMIT, "another screen: {other_screen}, cursor hidden: {hidden}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}
