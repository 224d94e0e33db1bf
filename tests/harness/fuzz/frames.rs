//! Frames: valid messages of every kind, right and wrong, and what becomes of them by a few changes.

use modmesh_daemon::peers::RawProtocol;
use modmesh_protocol::artifact::{ArtifactKey, FileKind, KeyHash};
use modmesh_protocol::line::{LineQuestion, Load, PlacesAsked};
use modmesh_protocol::log::VerifierKey;
use modmesh_protocol::module::ModuleVersion;
use modmesh_protocol::wire::{
    Announcement, Answer, FileAnswer, FileRequest, FileSummary, HeadSummary, Hello, InlineAnswer,
    InlineFile, InlineQuestion, Message, PlacedTile, Query, RecordAnswer, RecordQuestion,
    TileBytes, TileName, VersionRecord, decode, encode,
};

use crate::Module;

use super::Dice;

/// What a stream ends with, on our side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Properly.
    Closed,
    /// By a reset.
    Reset,
    /// Not before the host ends it.
    Open,
}

/// One thing to send.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) protocol: RawProtocol,
    pub(super) bytes: Vec<u8>,
    pub(super) end: End,
    /// The file that is asked for, when it is whole and unchanged.
    pub(super) file: Option<usize>,
    /// Whether it is a question that must be answered by a message.
    pub(super) is_good: bool,
}

/// What frames are made of.
#[derive(Debug)]
pub(super) struct Frames {
    database: [u8; 32],
    files: Vec<[u8; 32]>,
}

impl Frames {
    /// Frames about the zips of these modules and this database.
    pub(super) fn new(modules: &[Module], verifier_key: &str) -> Self {
        let key = VerifierKey::parse(verifier_key).expect("the database's key");
        let zip = |module: &Module| {
            let of = ModuleVersion::parse(&module.name()).expect("a module and its version");
            let kind = FileKind::Zip;
            KeyHash::of_file(&ArtifactKey { of, kind }).0
        };
        Self {
            database: key.database_id().0,
            files: modules.iter().map(zip).collect(),
        }
    }

    /// The next one.
    pub(super) fn make(&self, dice: &mut Dice) -> Sent {
        let (protocol, mut bytes, file) = self.message(dice);
        // What only members may say, a host in an open mesh refuses.
        let is_for_members = matches!(
            decode::<Query>(&bytes),
            Ok(Query::Line(LineQuestion::Rest { .. }))
        );
        let is_question = protocol == RawProtocol::Query && !is_for_members;
        let mut is_good = file.is_some() || is_question;
        let mut end = match dice.below(1000) {
            // Each of these costs the host the two seconds that it waits.
            0 => End::Open,
            1..50 => End::Reset,
            _ => End::Closed,
        };
        if dice.in_thousand(700) {
            is_good = false;
            for _ in 0..=dice.below(3) {
                change(dice, &mut bytes);
            }
        }
        // Elsewhere than it belongs.
        let protocol = match dice.below(30) {
            0 => {
                is_good = false;
                [RawProtocol::Hello, RawProtocol::Query, RawProtocol::File][dice.below(3)]
            }
            _ => protocol,
        };
        if end == End::Open && is_good {
            end = End::Closed;
        }
        Sent {
            protocol,
            file: file.filter(|_| is_good && end == End::Closed),
            is_good: is_good && end == End::Closed,
            bytes,
            end,
        }
    }

    /// What could be told by gossip.
    pub(super) fn gossip(&self, dice: &mut Dice) -> Vec<u8> {
        let files = (0..dice.below(1100)).map(|_| self.hash(dice)).collect();
        // Of databases that the host does not mirror: a false head of its own is a lie, and would end this neighbour.
        let strange = |dice: &mut Dice| std::array::from_fn(|_| dice.bits() as u8);
        let heads = (0..dice.below(4))
            .map(|_| (strange(dice), note(dice)))
            .collect();
        let words = match dice.in_thousand(200) {
            true => Announcement::Silent {
                peers: vec![
                    "12D3KooWGRUVh4cXYUEEPxjXhX8Xxf7vfLy8ZHMvVvXKx2bqYVSF".into();
                    dice.below(10)
                ],
            },
            false => Announcement::Have { files, heads },
        };
        let mut bytes = framed(&words, dice);
        if dice.in_thousand(800) {
            change(dice, &mut bytes);
        }
        bytes.truncate(60_000);
        bytes
    }

    fn message(&self, dice: &mut Dice) -> (RawProtocol, Vec<u8>, Option<usize>) {
        match dice.below(20) {
            0..9 => (RawProtocol::Query, self.question(dice), None),
            9..13 => {
                // The largest once in a while is enough.
                let number = match dice.below(self.files.len() + 1) {
                    number if number == self.files.len() => None,
                    number if number == 4 && !dice.in_thousand(20) => Some(0),
                    number => Some(number),
                };
                let file = number.map_or_else(|| self.hash(dice), |number| self.files[number]);
                let known = self.files.iter().position(|known| *known == file);
                let bytes = framed(&FileRequest::Whole { file }, dice);
                (RawProtocol::File, bytes, known)
            }
            13..16 => (RawProtocol::Hello, self.hello(dice), None),
            16..18 => {
                let blob = self.hash(dice);
                let length = dice.bits() >> dice.below(64);
                let answer = FileAnswer::Here { blob, length };
                let mut bytes = framed(&answer, dice);
                bytes.extend(dice.bytes(100));
                (RawProtocol::File, bytes, None)
            }
            _ => {
                // No question at all.
                let bytes = self.answer(dice);
                (RawProtocol::Hello, bytes, None)
            }
        }
    }

    fn question(&self, dice: &mut Dice) -> Vec<u8> {
        let query = match dice.below(8) {
            0 => Query::Head {
                database: self.hash(dice),
            },
            1 => Query::Tiles {
                database: self.hash(dice),
                coordinates: (0..dice.below(8)).map(|_| tile_name(dice)).collect(),
            },
            2 if dice.in_thousand(500) => Query::Acquaint {
                v4: dice.bits() as u16,
                v6: dice.bits() as u16,
            },
            2 if dice.in_thousand(300) => Query::Site {
                name: dice
                    .in_thousand(900)
                    .then(|| ["berlin", "\u{7}", ""][dice.below(3)].repeat(dice.below(6))),
            },
            2 if dice.in_thousand(300) => Query::Line(match dice.in_thousand(700) {
                true => LineQuestion::Places(PlacesAsked {
                    serial: dice.bits() >> dice.below(64),
                    most: dice.bits() as u16,
                    holds: load(dice),
                    wants: load(dice),
                }),
                false => LineQuestion::Rest {
                    entry: self.hash(dice),
                    rest_ms: dice.bits() as u32,
                },
            }),
            2 => Query::Versions {
                database: self.hash(dice),
                key: self.hash(dice),
            },
            3 if dice.in_thousand(500) => Query::FreshTiles {
                database: self.hash(dice),
                coordinates: (0..dice.below(8)).map(|_| tile_name(dice)).collect(),
            },
            4 if dice.in_thousand(500) => Query::Said {
                key: self.hash(dice),
            },
            3 => Query::Stated {
                file: self.hash(dice),
            },
            4 => Query::Note {
                path: ["../../etc/passwd", "example.com/m/@v/list", "\0"][dice.below(3)]
                    .repeat(dice.below(40)),
            },
            5 => Query::Inline(InlineQuestion {
                file: self.hash(dice),
                record: dice.in_thousand(700).then(|| RecordQuestion {
                    database: self.hash(dice),
                    key: self.hash(dice),
                }),
                size: dice.bits() >> dice.below(64),
                held: dice.bytes(500),
            }),
            _ => Query::Locate {
                file: dice.in_thousand(900).then(|| self.hash(dice)),
                record: dice.in_thousand(900).then(|| RecordQuestion {
                    database: self.hash(dice),
                    key: self.hash(dice),
                }),
            },
        };
        framed(&query, dice)
    }

    fn answer(&self, dice: &mut Dice) -> Vec<u8> {
        let answer = match dice.below(6) {
            0 => Answer::Head(Some(note(dice))),
            1 => Answer::Tiles(vec![
                Some(TileBytes {
                    width: dice.bits() as u16,
                    bytes: dice.bytes(64),
                });
                dice.below(8)
            ]),
            2 => Answer::Versions {
                head: note(dice),
                records: (0..dice.below(70))
                    .map(|_| VersionRecord {
                        id: dice.bits(),
                        text: note(dice),
                    })
                    .collect(),
            },
            4 => Answer::Inline(InlineAnswer {
                file: InlineFile::Whole(dice.bytes(300)),
                record: None,
                tiles: vec![
                    PlacedTile {
                        level: dice.bits() as u8,
                        index: dice.bits(),
                        tile: TileBytes {
                            width: dice.bits() as u16,
                            bytes: dice.bytes(64),
                        },
                    };
                    dice.below(8)
                ],
            }),
            3 => Answer::Busy {
                retry_after_ms: dice.bits() as u32,
            },
            _ => Answer::Located {
                file: Some(FileSummary {
                    blob: self.hash(dice),
                    length: dice.bits(),
                }),
                record: Some(RecordAnswer {
                    id: dice.bits(),
                    text: note(dice),
                    head: note(dice),
                }),
            },
        };
        framed(&answer, dice)
    }

    fn hello(&self, dice: &mut Dice) -> Vec<u8> {
        let heads = (0..dice.below(10)).map(|_| HeadSummary {
            database: self.hash(dice),
            size: dice.bits() >> dice.below(64),
        });
        let heads = heads.collect();
        let hello = Hello {
            release: "\u{1b}[31m\n".repeat(dice.below(12)),
            capabilities: dice.bits(),
            // Whoever says that it is a member of a mesh is put out by a host that is not, and must come again.
            membership: dice
                .in_thousand(3)
                .then(|| vec![7; dice.bits() as usize % 300]),
            heads,
            up_ms: dice.bits() >> dice.below(64),
        };
        framed(&hello, dice)
    }

    /// One that means something, or none.
    fn hash(&self, dice: &mut Dice) -> [u8; 32] {
        match dice.below(3) {
            0 => self.database,
            1 => self.files[dice.below(self.files.len())],
            _ => [dice.bits() as u8; 32],
        }
    }
}

fn load(dice: &mut Dice) -> Load {
    Load {
        small: dice.bits() as u16,
        zips: dice.bits() as u16,
    }
}

fn tile_name(dice: &mut Dice) -> TileName {
    TileName {
        level: dice.bits() as u8 >> dice.below(8),
        index: dice.bits() >> dice.below(64),
        width: dice.bits() as u16 >> dice.below(16),
    }
}

fn note(dice: &mut Dice) -> String {
    let lines = dice.below(40);
    "sumdb.example.test\n12345\n".repeat(lines)
}

/// The frame of a message, or random bytes when it breaks its own bounds.
fn framed(message: &impl Message, dice: &mut Dice) -> Vec<u8> {
    encode(message).unwrap_or_else(|_| dice.bytes(200))
}

fn change(dice: &mut Dice, bytes: &mut Vec<u8>) {
    let at = dice.below(bytes.len() + 1);
    match dice.below(9) {
        0 => bytes.truncate(at),
        1 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
        2 => {
            let more = dice.bytes(1 + at % 40);
            bytes.splice(at..at, more);
        }
        3 if at < bytes.len() => {
            bytes.remove(at);
        }
        // The length in the head.
        4 if bytes.len() >= 4 => {
            let length = [0, 1, 65_535, 65_536, 65_537, 1 << 24, u32::MAX][dice.below(7)];
            bytes[..4].copy_from_slice(&u32::to_be_bytes(length));
        }
        // The version behind it.
        5 if bytes.len() >= 5 => bytes[4] = dice.bits() as u8,
        // A count that is larger than anything.
        6 => {
            let count = [
                &[251, 255, 255][..],
                &[252, 255, 255, 255, 255],
                &[253; 9],
                &[254; 17],
                &[255],
            ];
            let count = count[dice.below(count.len())].to_vec();
            bytes.splice(at..at, count);
            repair_length(bytes);
        }
        7 => {
            let again = bytes.clone();
            bytes.extend(again);
        }
        _ => {
            bytes.truncate(at.max(5));
            repair_length(bytes);
        }
    }
}

/// Makes the head fit what follows, so that the payload is looked at.
fn repair_length(bytes: &mut [u8]) {
    let length = bytes.len().saturating_sub(5) as u32;
    if let Some(head) = bytes.get_mut(..4) {
        head.copy_from_slice(&length.to_be_bytes());
    }
}
