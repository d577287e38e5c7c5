//! Asynchronous work in `Drop`.

use std::thread;

use tokio::runtime;

/// Runs `work` to its end before it returns, from within or without a runtime.
///
/// `Drop` cannot await, and a test's runtime has one thread, which is the one that drops; so the work gets a thread and
/// a runtime to itself. A failure is reported and not raised: the test may be panicking already, and a second panic
/// would abort the process and hide the first.
#[expect(clippy::print_stderr, reason = "there is no one to return the error to, and tests have no log")]
pub(crate) fn wait_for<F>(what: String, work: impl FnOnce() -> F + Send + 'static)
where
    F: Future<Output = Result<(), String>>,
{
    let ended = thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| error.to_string())?.block_on(work())
    })
    .join();
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => eprintln!("{what} is left behind: {error}"),
        Err(_) => eprintln!("{what} may be left behind: its removal panicked"),
    }
}
