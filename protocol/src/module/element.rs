//! The rules for slash-separated names: which characters and which elements a module path or a file path may have.
//!
//! They are those of `checkPath` and `checkElem` in golang.org/x/mod/module/module.go. Their aim is that a path means the
//! same on every file system: no element goes up or hides, none is a device on Windows, none differs from another in
//! something that a disk may not keep. What passes here can be joined to a folder and stays below it.

use super::{ELEMENT_BYTES_MAX, MODULE_PATH_BYTES_MAX, ModuleError, excerpt, letters::is_letter};

/// Holds a file name inside a module zip, without the `path@version/` prefix, against the rules of Go.
///
/// The rule is `module.CheckFilePath` in golang.org/x/mod/module. There is no limit on length here: a zip has its own.
pub fn check_file_path(path: &str) -> Result<(), ModuleError> {
    check_path(path, Kind::File).map_err(|fault| ModuleError::FilePath {
        path: excerpt(path),
        fault,
    })
}

/// What is wrong with a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// There is nothing.
    #[error("empty string")]
    Empty,
    /// More than [`MODULE_PATH_BYTES_MAX`] bytes.
    #[error("longer than {MODULE_PATH_BYTES_MAX} bytes")]
    TooLong,
    /// An element of more than [`ELEMENT_BYTES_MAX`] bytes in its escaped form.
    #[error("an element longer than {ELEMENT_BYTES_MAX} bytes when escaped")]
    ElementTooLong,
    /// Two slashes in a row, or one at the beginning or end.
    #[error("empty path element")]
    EmptyElement,
    /// `.`, `..` and so on.
    #[error("path element of dots alone")]
    Dots,
    /// An element that begins with a dot, in a module path.
    #[error("leading dot in path element")]
    LeadingDot,
    /// An element that ends with a dot.
    #[error("trailing dot in path element")]
    TrailingDot,
    /// A dash at the beginning of a module path: a command would take it for a flag.
    #[error("leading dash")]
    LeadingDash,
    /// A character that has no place in this kind of path.
    #[error("invalid character {0:?}")]
    Character(char),
    /// The name of a device on Windows.
    #[error("a reserved name on Windows")]
    WindowsDevice,
    /// A tilde and digits, the form that Windows gives to shortened names, in a module path.
    #[error("trailing tilde and digits in path element")]
    WindowsShortName,
    /// The first element of a module path is no domain name, because it has no dot.
    #[error("missing dot in first path element")]
    NoDomain,
    /// A character that no lower-case domain name holds, in the first element of a module path.
    #[error("invalid character {0:?} in first path element")]
    DomainCharacter(char),
    /// The last element looks like a major version but cannot be one, such as `/v1`, `/v02` or `/v2.0`.
    #[error("invalid major version at the end")]
    Major,
}

/// The kinds of path, which differ in the characters they may hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Module,
    File,
}

/// Holds a whole path against the rules of its kind.
pub(super) fn check_path(path: &str, kind: Kind) -> Result<(), PathFault> {
    if path.is_empty() {
        return Err(PathFault::Empty);
    }
    if kind == Kind::Module && path.starts_with('-') {
        return Err(PathFault::LeadingDash);
    }
    path.split('/')
        .try_for_each(|element| check_element(element, kind))
}

/// Holds one element, what stands between two slashes, against the rules of its kind.
pub(super) fn check_element(element: &str, kind: Kind) -> Result<(), PathFault> {
    if element.is_empty() {
        return Err(PathFault::EmptyElement);
    }
    if element.bytes().all(|byte| byte == b'.') {
        return Err(PathFault::Dots);
    }
    if kind == Kind::Module && element.starts_with('.') {
        return Err(PathFault::LeadingDot);
    }
    if element.ends_with('.') {
        return Err(PathFault::TrailingDot);
    }
    let allowed = match kind {
        Kind::Module => in_module_path,
        Kind::File => in_file_name,
    };
    if let Some(other) = element.chars().find(|&c| !allowed(c)) {
        return Err(PathFault::Character(other));
    }
    // Windows looks at a name up to its first dot only: `aux.go` is the device too.
    let stem = element.split('.').next().unwrap_or_default();
    if is_windows_device(stem) {
        return Err(PathFault::WindowsDevice);
    }
    if kind == Kind::Module && is_windows_short_name(stem) {
        return Err(PathFault::WindowsShortName);
    }
    Ok(())
}

fn in_module_path(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~')
}

/// Letters, digits, the space and the punctuation that neither a shell nor a file system reads a meaning into.
fn in_file_name(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_alphanumeric() || "!#$%&()+,-.=@[]^_{}~ ".contains(c)
    } else {
        is_letter(c)
    }
}

/// Go compares under Unicode folding; no letter of these names folds to one outside ASCII, so this is the same.
fn is_windows_device(stem: &str) -> bool {
    const NAMES: [&str; 4] = ["CON", "PRN", "AUX", "NUL"];
    const NUMBERED: [&str; 2] = ["COM", "LPT"];
    match stem.as_bytes() {
        [name @ .., b'1'..=b'9'] if name.len() == 3 => NUMBERED
            .iter()
            .any(|device| device.as_bytes().eq_ignore_ascii_case(name)),
        name => NAMES
            .iter()
            .any(|device| device.as_bytes().eq_ignore_ascii_case(name)),
    }
}

fn is_windows_short_name(stem: &str) -> bool {
    stem.rsplit_once('~').is_some_and(|(_, digits)| {
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}
