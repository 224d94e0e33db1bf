//! A second user of this machine, as the kernel sees one: a thread whose user ids are others than those of the process.
//!
//! Sockets and files that it opens are the other user's, and so are its rights. Only root can become somebody else.

use std::thread;

use rustix::process::Uid;
use rustix::thread::set_thread_res_uid;

use crate::lab::Forbidden;

/// A user id that nobody has; whether somebody does makes no difference.
const STRANGER: u32 = 61_234;

/// Whether this system lets us be somebody else.
///
/// # Errors
/// When it does not.
pub fn possible() -> Result<(), Forbidden> {
    as_other_user(|| ())
}

/// Runs `work` as another user and waits for it; a panic inside goes on outside.
///
/// # Errors
/// When this system does not let us be another user.
pub fn as_other_user<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Forbidden> {
    let outcome = thread::scope(|threads| {
        let other = threads.spawn(|| {
            let stranger = Uid::from_raw(STRANGER);
            // Of this thread alone, unlike what the C library does.
            set_thread_res_uid(stranger, stranger, stranger).map_err(|error| {
                Forbidden(format!(
                    "only root of the machine can be another user: {error}"
                ))
            })?;
            Ok(work())
        });
        other.join()
    });
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
