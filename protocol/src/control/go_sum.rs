//! What the daemon says of go.sum files that its own user gave it. The rules for names are those of [`super`].

use serde::{Deserialize, Serialize};

/// Longest name of a go.sum, in bytes: a path, or what somebody calls it.
pub const GO_SUM_NAME_BYTES_MAX: usize = 4096;
/// Lines of a go.sum that are told by their beginning; of more, the count alone.
pub const GO_SUM_NAMED_MAX: usize = 16;

/// The files of go.sum in numbers, a part of the answer of `/api/v1/status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GoSumStatus {
    /// Files whose lines are held.
    pub files: u64,
    /// Lines that are held.
    pub lines: u64,
    /// Lines of these files that were refused, because the checksum database contradicts them.
    pub refused: u64,
}

/// The answer of `POST /v1/gosum`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GoSumTaken {
    /// Lines that are held from now on, in the place of those that the file had before.
    pub lines: u64,
    /// Lines that could not be read.
    pub faults: u64,
    /// The first of them.
    pub faults_told: Vec<GoSumFault>,
    /// Files for which it has two hashes, so that it vouches for neither.
    pub contradictory: u64,
    /// The first of them, as their lines begin.
    pub contradictory_named: Vec<String>,
    /// Lines that were refused because the checksum database contradicts them: the file was changed, or something else was
    /// given when it was written.
    pub contradicted: u64,
    /// The first of them, as they begin.
    pub contradicted_named: Vec<String>,
}

/// A line that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoSumFault {
    /// Its number, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}
