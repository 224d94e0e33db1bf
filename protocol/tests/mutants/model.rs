//! A zip as a value, in which every field can be set to anything before it is written.

use super::random::Random;
use super::stream::{Fault, encode};

/// One entry: what its local header, its content and its directory header say.
#[derive(Clone)]
pub struct Entry {
    pub content: Vec<u8>,
    pub packed: Vec<u8>,
    pub central: Header,
    /// What the local header says; written as the directory header says when there is nothing.
    pub local: Option<Header>,
    pub descriptor: Vec<u8>,
    pub comment: Vec<u8>,
    /// Added to the declared length of the comment.
    pub comment_shift: u16,
    pub disk: u16,
    /// Bytes before the local header.
    pub gap: Vec<u8>,
    /// Added to the offset that the directory gives.
    pub offset_shift: i64,
    /// Given instead of the offset, when the true one is in an extra field.
    pub offset: Option<u32>,
    /// Added to size, packed size and offset in a zip64 extra field; no such field when there is nothing.
    pub zip64: Option<[i64; 3]>,
}

/// The fields that both headers have.
#[derive(Clone)]
pub struct Header {
    pub version: u16,
    pub flags: u16,
    pub method: u16,
    pub time: u16,
    pub date: u16,
    pub crc: u32,
    pub packed: u32,
    pub size: u32,
    pub name: Vec<u8>,
    pub extra: Vec<u8>,
}

/// A whole archive.
#[derive(Clone)]
pub struct Zip {
    /// The module version it is judged for, `path@version`.
    pub of: String,
    pub entries: Vec<Entry>,
    /// Which entries the directory lists, in which order.
    pub listed: Vec<usize>,
    pub prefix: Vec<u8>,
    /// Whether offsets count from the first byte of the file or from the end of the prefix.
    pub offsets_with_prefix: bool,
    pub before_directory: Vec<u8>,
    pub after_directory: Vec<u8>,
    pub records_shift: i64,
    pub size_shift: i64,
    pub offset_shift: i64,
    pub disks: (u16, u16),
    pub zip64: Option<End64>,
    pub comment: Vec<u8>,
    pub comment_shift: i64,
    pub trailing: Vec<u8>,
}

/// The zip64 records, and by how much each number in them is off.
#[derive(Clone, Default)]
pub struct End64 {
    pub records_shift: i64,
    pub size_shift: i64,
    pub offset_shift: i64,
    pub locator_shift: i64,
    pub disks: u32,
    /// Which numbers of the plain record are set to their highest value.
    pub hidden: [bool; 3],
}

impl Entry {
    /// An entry in the form that Go's module code writes.
    pub fn file(random: &mut Random, name: &str, content: &[u8]) -> Self {
        let packed = encode(random, content, Fault::None);
        let mut entry = Self {
            central: Header {
                version: 20,
                flags: 0x8,
                method: 8,
                time: 0,
                date: 0,
                crc: crc32fast::hash(content),
                packed: packed.len() as u32,
                size: content.len() as u32,
                name: name.as_bytes().to_vec(),
                extra: Vec::new(),
            },
            content: content.to_vec(),
            packed,
            local: None,
            descriptor: Vec::new(),
            comment: Vec::new(),
            comment_shift: 0,
            disk: 0,
            gap: Vec::new(),
            offset_shift: 0,
            offset: None,
            zip64: None,
        };
        entry.describe();
        entry
    }

    /// Stores the content as it is.
    pub fn store(&mut self) {
        self.central.method = 0;
        self.set_packed(self.content.clone());
    }

    /// Takes `packed` for the packed content.
    pub fn set_packed(&mut self, packed: Vec<u8>) {
        self.central.packed = packed.len() as u32;
        self.packed = packed;
        self.describe();
    }

    /// Sets or clears the descriptor flag, with all that goes with it.
    pub fn set_descriptor(&mut self, wanted: bool) {
        self.central.flags = self.central.flags & !8 | if wanted { 8 } else { 0 };
        self.describe();
    }

    /// Writes local header and descriptor anew from the directory header.
    pub fn describe(&mut self) {
        self.local = None;
        self.descriptor.clear();
        if self.central.flags & 8 != 0 {
            let mut local = self.central.clone();
            (local.crc, local.packed, local.size) = (0, 0, 0);
            self.local = Some(local);
            self.descriptor.extend(b"PK\x07\x08");
            self.descriptor.extend(self.central.crc.to_le_bytes());
            self.descriptor.extend(self.central.packed.to_le_bytes());
            self.descriptor.extend(self.central.size.to_le_bytes());
        }
    }
}

impl Zip {
    pub fn new(of: &str, entries: Vec<Entry>) -> Self {
        Self {
            of: of.to_owned(),
            listed: (0..entries.len()).collect(),
            entries,
            prefix: Vec::new(),
            offsets_with_prefix: true,
            before_directory: Vec::new(),
            after_directory: Vec::new(),
            records_shift: 0,
            size_shift: 0,
            offset_shift: 0,
            disks: (0, 0),
            zip64: None,
            comment: Vec::new(),
            comment_shift: 0,
            trailing: Vec::new(),
        }
    }

    /// The bytes of it.
    pub fn write(&self) -> Vec<u8> {
        let mut out = self.prefix.clone();
        let base = if self.offsets_with_prefix {
            0
        } else {
            out.len() as i64
        };
        let mut offsets = Vec::new();
        for entry in &self.entries {
            out.extend(&entry.gap);
            offsets.push(out.len() as i64 - base);
            out.extend(b"PK\x03\x04");
            put_header(&mut out, entry.local.as_ref().unwrap_or(&entry.central));
            out.extend(&entry.packed);
            out.extend(&entry.descriptor);
        }
        out.extend(&self.before_directory);
        let start = out.len() as i64;
        for at in &self.listed {
            if let (Some(entry), Some(offset)) = (self.entries.get(*at), offsets.get(*at)) {
                put_central(&mut out, entry, *offset);
            }
        }
        let size = out.len() as i64 - start;
        out.extend(&self.after_directory);
        self.put_end(&mut out, start - base, size);
        out
    }

    fn put_end(&self, out: &mut Vec<u8>, start: i64, size: i64) {
        let mut numbers = [
            self.listed.len() as i64 + self.records_shift,
            size + self.size_shift,
            start + self.offset_shift,
        ];
        if let Some(end64) = &self.zip64 {
            let at = out.len() as i64;
            out.extend(b"PK\x06\x06\x2c\0\0\0\0\0\0\0\x2d\0\x2d\0");
            out.extend(end64.disks.to_le_bytes());
            out.extend(end64.disks.to_le_bytes());
            let records = numbers[0].wrapping_add(end64.records_shift);
            out.extend(records.to_le_bytes());
            out.extend(records.to_le_bytes());
            out.extend(numbers[1].wrapping_add(end64.size_shift).to_le_bytes());
            out.extend(numbers[2].wrapping_add(end64.offset_shift).to_le_bytes());
            out.extend(b"PK\x06\x07");
            out.extend(end64.disks.to_le_bytes());
            out.extend(at.wrapping_add(end64.locator_shift).to_le_bytes());
            out.extend((1 + end64.disks).to_le_bytes());
            for (number, hidden) in numbers.iter_mut().zip(end64.hidden) {
                if hidden {
                    *number = -1;
                }
            }
        }
        out.extend(b"PK\x05\x06");
        out.extend(self.disks.0.to_le_bytes());
        out.extend(self.disks.1.to_le_bytes());
        out.extend((numbers[0] as u16).to_le_bytes());
        out.extend((numbers[0] as u16).to_le_bytes());
        out.extend((numbers[1] as u32).to_le_bytes());
        out.extend((numbers[2] as u32).to_le_bytes());
        let comment = self.comment.len() as i64 + self.comment_shift;
        out.extend((comment as u16).to_le_bytes());
        out.extend(&self.comment);
        out.extend(&self.trailing);
    }
}

fn put_header(out: &mut Vec<u8>, header: &Header) {
    put_fields(out, header, &header.extra);
    out.extend(&header.name);
    out.extend(&header.extra);
}

/// All from the version on to the lengths of name and extra field.
fn put_fields(out: &mut Vec<u8>, header: &Header, extra: &[u8]) {
    for field in [
        header.version,
        header.flags,
        header.method,
        header.time,
        header.date,
    ] {
        out.extend(field.to_le_bytes());
    }
    for field in [header.crc, header.packed, header.size] {
        out.extend(field.to_le_bytes());
    }
    out.extend((header.name.len() as u16).to_le_bytes());
    out.extend((extra.len() as u16).to_le_bytes());
}

fn put_central(out: &mut Vec<u8>, entry: &Entry, offset: i64) {
    let mut header = entry.central.clone();
    let offset = offset + entry.offset_shift;
    let mut offset32 = entry.offset.unwrap_or(offset as u32);
    if let Some(shifts) = entry.zip64 {
        header.extra.extend(b"\x01\0\x18\0");
        let numbers = [i64::from(header.size), i64::from(header.packed), offset];
        for (number, shift) in numbers.into_iter().zip(shifts) {
            header
                .extra
                .extend(number.wrapping_add(shift).to_le_bytes());
        }
        (header.size, header.packed, offset32) = (u32::MAX, u32::MAX, u32::MAX);
    }
    out.extend(b"PK\x01\x02\x14\0");
    put_fields(out, &header, &header.extra);
    let comment = (entry.comment.len() as u16).wrapping_add(entry.comment_shift);
    out.extend(comment.to_le_bytes());
    out.extend(entry.disk.to_le_bytes());
    out.extend([0; 6]);
    out.extend(offset32.to_le_bytes());
    out.extend(&header.name);
    out.extend(&header.extra);
    out.extend(&entry.comment);
}
