//! What can be done to a zip: each change is one way in which headers, names, sizes, streams or records may be wrong, odd
//! or merely unusual.

use super::model::{Entry, Zip};
use super::random::Random;
use super::stream::{FAULTS, Fault, encode};
use super::structure::{directory_size, entry_zip64, far_descriptor, gap, listing, record, zip64};

type Change = fn(&mut Random, &mut Zip);

const CHANGES: [Change; 27] = [
    number,
    number,
    flags,
    method,
    checksum,
    checksum,
    descriptor,
    descriptor,
    name,
    name,
    name,
    duplicate,
    directory_size,
    stream,
    stream,
    faulty_stream,
    slack,
    size,
    size,
    extra,
    extra,
    gap,
    listing,
    record,
    zip64,
    entry_zip64,
    far_descriptor,
];

/// Makes one change to the value, and sees to it that it is written.
pub fn change(random: &mut Random, zip: &mut Zip) {
    let change = *random.pick(&CHANGES);
    change(random, zip);
}

pub(super) fn entry<'a>(random: &mut Random, zip: &'a mut Zip) -> &'a mut Entry {
    let at = random.below(zip.entries.len());
    &mut zip.entries[at]
}

pub(super) fn odd(random: &mut Random, value: u32) -> u32 {
    match random.below(9) {
        0 => 0,
        1 => value.wrapping_add(1),
        2 => value.wrapping_sub(1),
        3 => u32::MAX,
        4 => 0xffff,
        5 => 1 << random.below(32),
        6 => 500 << 20,
        7 => value ^ (1 << random.below(32)),
        _ => random.next() as u32,
    }
}

/// Any field of either header.
fn number(random: &mut Random, zip: &mut Zip) {
    let entry = entry(random, zip);
    let (which, local) = (random.below(9), random.once_in(2));
    match which {
        0 => entry.disk = odd(random, 0) as u16,
        1 => entry.offset_shift = [1, -1, 4, 0x1_0000, i64::from(i32::MAX)][random.below(5)],
        2 => entry.offset = Some(odd(random, 0)),
        _ => {
            let mut header = entry.central.clone();
            if local {
                header = entry.local.clone().unwrap_or(header);
            }
            match which {
                3 => header.version = odd(random, 20) as u16,
                4 => header.time = odd(random, 0) as u16,
                5 => header.date = odd(random, 0) as u16,
                6 => header.crc = odd(random, header.crc),
                7 => header.packed = odd(random, header.packed),
                _ => header.size = odd(random, header.size),
            }
            if local {
                entry.local = Some(header);
            } else {
                entry.local.get_or_insert(entry.central.clone());
                entry.central = header;
            }
        }
    }
}

fn flags(random: &mut Random, zip: &mut Zip) {
    let entry = entry(random, zip);
    let flag = 1 << random.below(16);
    entry.central.flags ^= flag;
    if random.once_in(2) {
        entry.describe();
    }
}

fn method(random: &mut Random, zip: &mut Zip) {
    let entry = entry(random, zip);
    match random.below(4) {
        0 => entry.store(),
        1 => entry.central.method = *random.pick(&[1, 9, 12, 14, 93, 0xffff]),
        2 => entry.central.method ^= 8,
        _ => {
            entry.local.get_or_insert(entry.central.clone()).method ^= 8;
        }
    }
}

fn checksum(random: &mut Random, zip: &mut Zip) {
    let entry = entry(random, zip);
    match random.below(5) {
        0 => {
            entry.set_descriptor(false);
            entry.central.crc = 0;
        }
        1 => {
            entry.central.crc = 0;
            entry.describe();
        }
        2 => entry.central.crc ^= 1 << random.below(32),
        3 => {
            // The content changes and its checksum was never set: only h1 can tell.
            entry.set_descriptor(false);
            entry.central.crc = 0;
            let at = random.below(entry.packed.len());
            if let Some(byte) = entry.packed.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        _ => {
            if let Some(byte) = entry.content.first_mut() {
                *byte ^= 1;
            }
            entry.set_packed(encode(random, &entry.content.clone(), Fault::None));
        }
    }
}

fn descriptor(random: &mut Random, zip: &mut Zip) {
    let entry = entry(random, zip);
    let has = entry.central.flags & 8 != 0;
    match random.below(9) {
        0 => entry.set_descriptor(!has),
        1 => {
            entry.set_descriptor(true);
            entry.descriptor.drain(..4);
        }
        2 => entry.descriptor.clear(),
        3 => {
            // Sizes of eight bytes.
            entry.set_descriptor(true);
            entry.descriptor.truncate(8);
            for size in [entry.central.packed, entry.central.size] {
                entry.descriptor.extend(u64::from(size).to_le_bytes());
            }
        }
        4 => {
            let at = random.below(entry.descriptor.len());
            if let Some(byte) = entry.descriptor.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        5 => entry.descriptor.truncate(random.below(16)),
        6 => entry.local = Some(entry.central.clone()),
        7 => {
            // A checksum that reads like the signature.
            entry.set_descriptor(true);
            entry.central.crc = 0x0807_4b50;
            entry.descriptor[4..8].copy_from_slice(b"PK\x07\x08");
            entry
                .descriptor
                .drain(..if random.once_in(2) { 4 } else { 0 });
        }
        _ => {
            let extra = random.below(20);
            entry.descriptor.extend(random.bytes(extra));
        }
    }
}

const NAMES: [&str; 48] = [
    "go.mod",
    "GO.MOD",
    "Go.mod",
    "sub/go.mod",
    "sub/GO.mod",
    "go.mod/x",
    "license",
    "LICENSE",
    "M.go",
    "m.go",
    "m.go/x",
    "internal",
    "internal/",
    "Internal/x",
    "INTERNAL/N/x",
    "a",
    "a/",
    "A/",
    "a/B",
    "c",
    "docs/k.txt",
    "docs/\u{212a}.txt",
    "docs/STRASSE/x",
    "docs/stra\u{1e9e}e/x",
    "docs/stra\u{df}e/\u{422}\u{435}\u{441}\u{442}.md",
    "..",
    "../x",
    "x/../y",
    "./x",
    "/x",
    "x//y",
    "x/",
    "x//",
    "",
    "con",
    "aux.txt",
    "nul/x",
    "x.",
    "x ",
    "x\\y",
    "x:y",
    "x\ny",
    "x*",
    "\u{e9}",
    "e\u{301}",
    "\u{130}",
    "\u{131}",
    "_-!#$%&()+,;=@[]^{}~",
];

fn name(random: &mut Random, zip: &mut Zip) {
    let of = zip.of.clone();
    let entry = entry(random, zip);
    let prefixed = |name: &str| format!("{of}/{name}").into_bytes();
    let name = match random.below(12) {
        0 => random.pick(&NAMES).as_bytes().to_vec(),
        1 => of.to_uppercase().into_bytes(),
        2 => {
            let mut name = entry.central.name.clone();
            let at = random.below(name.len());
            if let Some(byte) = name.get_mut(at) {
                *byte = random.next() as u8;
            }
            name
        }
        3 => {
            let mut name = entry.central.name.clone();
            name.push(b'/');
            name
        }
        4 => {
            let long = [254, 255, 256, 1000][random.below(4)];
            prefixed(&"x".repeat(long))
        }
        5 => prefixed(&"long/".repeat([300, 399, 500, 900][random.below(4)])[1..]),
        6 => {
            let mut name = prefixed("");
            let count = random.below(5);
            name.extend(random.bytes(count));
            name
        }
        7 => {
            let mut name = entry.central.name.clone();
            let at = of.len() + random.below(name.len().saturating_sub(of.len()));
            if let Some(byte) = name.get_mut(at) {
                *byte ^= 0x20;
            }
            name
        }
        _ => prefixed(random.pick::<&str>(&NAMES)),
    };
    let old = std::mem::replace(&mut entry.central.name, name);
    match random.below(3) {
        0 => {
            // The local header keeps the old one.
            let mut local = entry.local.clone().unwrap_or(entry.central.clone());
            local.name = old;
            entry.local = Some(local);
        }
        _ => entry.describe(),
    }
}

/// The same entry twice, or in another order, or with a name of its own.
fn duplicate(random: &mut Random, zip: &mut Zip) {
    let mut copy = entry(random, zip).clone();
    match random.below(5) {
        0 => zip.entries.reverse(),
        1 => random.shuffle(&mut zip.listed),
        2 => {
            let listed = random.below(zip.entries.len());
            zip.listed.push(listed);
        }
        3 => {
            zip.entries.push(copy);
            zip.listed.push(zip.entries.len() - 1);
        }
        _ => {
            let of = zip.of.clone();
            copy.central.name = format!("{of}/{}", random.pick(&NAMES)).into_bytes();
            copy.describe();
            zip.entries.push(copy);
            zip.listed.push(zip.entries.len() - 1);
        }
    }
}

/// The same content, packed in another way.
fn stream(random: &mut Random, zip: &mut Zip) {
    let entry = entry(random, zip);
    if random.once_in(3) {
        let count = random.below(300);
        let few = 1 + random.below(8);
        let bytes = random.bytes(few);
        entry.content = (0..count).map(|_| *random.pick(&bytes)).collect();
        entry.central.crc = crc32fast::hash(&entry.content);
        entry.central.size = entry.content.len() as u32;
    }
    entry.central.method = 8;
    entry.set_packed(encode(random, &entry.content.clone(), Fault::None));
}

fn faulty_stream(random: &mut Random, zip: &mut Zip) {
    let entry = entry(random, zip);
    entry.central.method = 8;
    if random.once_in(3) {
        entry.set_descriptor(false);
        entry.central.crc = 0;
    }
    let fault = *random.pick(&FAULTS);
    let mut packed = encode(random, &entry.content.clone(), fault);
    if random.once_in(4) {
        packed.truncate(random.below(packed.len()));
    }
    entry.set_packed(packed);
}

/// Bytes in the section after the end of the stream, or too few of them.
fn slack(random: &mut Random, zip: &mut Zip) {
    let entry = entry(random, zip);
    let mut packed = entry.packed.clone();
    if random.once_in(3) {
        packed.pop();
    } else {
        let count = 1 + random.below(9);
        packed.extend(random.bytes(count));
    }
    entry.set_packed(packed);
}

fn size(random: &mut Random, zip: &mut Zip) {
    let entry = entry(random, zip);
    match random.below(6) {
        0 => entry.central.size = entry.central.size.wrapping_add(1),
        1 => entry.central.size = entry.central.size.saturating_sub(1),
        2 => {
            entry.central.packed = entry
                .central
                .packed
                .wrapping_add(1 + random.below(40) as u32);
        }
        3 => entry.central.packed = entry.central.packed.saturating_sub(1),
        4 => entry.central.packed = odd(random, entry.central.packed),
        _ => entry.central.size = odd(random, entry.central.size),
    }
    if random.once_in(2) {
        entry.describe();
    }
}

const EXTRAS: [&[u8]; 9] = [
    b"UT\x05\0\x01\x80\x43\x6d\x38",
    b"UT\x05\0\x03\x80\x43\x6d\x38",
    b"UT\x09\0\x03\x80\x43\x6d\x38\x80\x43\x6d\x38",
    b"UT\x05\0\x01",
    b"\x01\0\x10\0\x01\x02\x03\x04\x05\x06\x07\x08\x01\x02\x03\x04\x05\x06\x07\x08",
    b"\x01\0\x04\0\x01\x02\x03\x04",
    b"\x0a\0\x20\0\0\0\0\0\x01\0\x18\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    b"\xfe\xca\0\0",
    b"\xff",
];

fn extra(random: &mut Random, zip: &mut Zip) {
    let entry = entry(random, zip);
    let extra = random.pick(&EXTRAS).to_vec();
    match random.below(4) {
        0 => {
            entry.central.extra = extra;
            entry.describe();
        }
        1 => {
            entry.local.get_or_insert(entry.central.clone());
            entry.central.extra = extra;
        }
        2 => {
            let mut local = entry.local.clone().unwrap_or(entry.central.clone());
            local.extra = extra;
            entry.local = Some(local);
        }
        _ => {
            entry.central.extra = extra;
            entry.describe();
            // Sizes that the field may have to provide.
            match random.below(3) {
                0 => entry.central.size = u32::MAX,
                1 => entry.central.packed = u32::MAX,
                _ => entry.offset = Some(u32::MAX),
            }
        }
    }
}

/// Changes the written bytes without knowing what they mean.
pub fn scramble(random: &mut Random, bytes: &mut Vec<u8>) {
    let at = random.below(bytes.len());
    match random.below(7) {
        0 | 1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        2 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = *random.pick(&[0, 1, 8, 0x7f, 0x80, 0xff, b'/', b'P']);
            }
        }
        3 => bytes.truncate(at),
        4 => {
            let count = 1 + random.below(6);
            let inserted = random.bytes(count);
            bytes.splice(at..at, inserted);
        }
        5 => {
            let end = (at + 1 + random.below(30)).min(bytes.len());
            bytes.drain(at..end);
        }
        _ => {
            let end = (at + 1 + random.below(60)).min(bytes.len());
            let copied = bytes[at..end].to_vec();
            let to = random.below(bytes.len());
            for (to, from) in bytes.iter_mut().skip(to).zip(copied) {
                *to = from;
            }
        }
    }
}
