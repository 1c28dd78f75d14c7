//! `liblvm2cmd`: the whole of LVM in a library, as in its header `lvm2cmd.h`. Loaded at run time, because a
//! host without it is served by the program.
#![expect(unsafe_code, reason = "calls into LVM's library")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem;
use std::sync::{Mutex, PoisonError};

use super::Answer;

/// Its name with the version of its interface.
const NAME: &CStr = c"liblvm2cmd.so.2.03";
/// `LVM2_COMMAND_SUCCEEDED`.
const SUCCEEDED: c_int = 1;
/// Levels of messages: errors are this or less, warnings one more.
const ERROR: c_int = 3;

/// LVM's messages of the present command: `None` where no command runs.
static MESSAGES: Mutex<Option<Messages>> = Mutex::new(None);

#[derive(Debug, Default)]
struct Messages {
    errors: Vec<String>,
    warnings: Vec<String>,
}

type Init = unsafe extern "C" fn() -> *mut c_void;
type Run = unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int;
type Log = extern "C" fn(c_int, *const c_char, c_int, c_int, *const c_char);
type SetLog = unsafe extern "C" fn(Option<Log>);

/// The library, set up.
#[derive(Debug)]
pub(super) struct Library {
    handle: *mut c_void,
    run: Run,
}

extern "C" fn log(level: c_int, _: *const c_char, _: c_int, _: c_int, message: *const c_char) {
    if message.is_null() {
        return;
    }
    // SAFETY: LVM passes a text that ends with a zero and lives during the call.
    let text = unsafe { CStr::from_ptr(message) }
        .to_string_lossy()
        .trim()
        .to_owned();
    let mut messages = MESSAGES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(messages) = messages.as_mut() {
        match level {
            level if level <= ERROR => messages.errors.push(text),
            level if level == ERROR + 1 => messages.warnings.push(text),
            _ => {}
        }
    }
}

impl Library {
    /// Loads it; `None`: it is not here.
    pub(super) fn load() -> Option<Self> {
        // SAFETY: NAME ends with a zero; the library's constructors do nothing but set up its own state.
        let library = unsafe { libc::dlopen(NAME.as_ptr(), libc::RTLD_NOW) };
        if library.is_null() {
            return None;
        }
        let symbol = |name: &CStr| {
            // SAFETY: the handle is of a loaded library, the name ends with a zero.
            let symbol = unsafe { libc::dlsym(library, name.as_ptr()) };
            (!symbol.is_null()).then_some(symbol)
        };
        let (init, run) = (symbol(c"lvm2_init")?, symbol(c"lvm2_run")?);
        let set_log = symbol(c"lvm2_log_fn")?;
        // SAFETY: these are the types of the functions in lvm2cmd.h, the same since 2.03.
        let (init, run, set_log) = unsafe {
            (
                mem::transmute::<*mut c_void, Init>(init),
                mem::transmute::<*mut c_void, Run>(run),
                mem::transmute::<*mut c_void, SetLog>(set_log),
            )
        };
        // SAFETY: called once, by the only thread, before anything else of the library.
        let handle = unsafe {
            set_log(Some(log));
            init()
        };
        (!handle.is_null()).then_some(Self { handle, run })
    }

    /// Runs a line.
    pub(super) fn run(&self, line: &str) -> Answer {
        let Ok(line) = CString::new(line) else {
            return Answer::default();
        };
        let messages = || MESSAGES.lock().unwrap_or_else(PoisonError::into_inner);
        *messages() = Some(Messages::default());
        // SAFETY: the handle is from lvm2_init and the text ends with a zero; only this thread calls in.
        let code = unsafe { (self.run)(self.handle, line.as_ptr()) };
        let said = messages().take().unwrap_or_default();
        let words = if said.errors.is_empty() {
            said.warnings
        } else {
            said.errors
        };
        Answer {
            done: code == SUCCEEDED,
            words: words.join("; "),
            ..Answer::default()
        }
    }
}
