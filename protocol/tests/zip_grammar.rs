//! What the canonical grammar leaves no room for, one thing at a time, and what must hold for any bytes whatever.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[allow(dead_code)]
mod mutants;

use modmesh_protocol::digest::H1;
use modmesh_protocol::module::ModuleVersion;
use modmesh_protocol::zip::{Grammar, NotCanonical, ZIP_BYTES_MAX, ZipError, check, list};
use modmesh_protocol::zip::{ReadAt, Verdict};
use mutants::model::{End64, Entry, Zip};
use mutants::random::Random;
use mutants::{Nursery, seeds};

const OF: &str = "example.com/m@v1.0.0";

fn of(text: &str) -> ModuleVersion {
    ModuleVersion::parse(text).unwrap()
}

/// A module of two files, in the form that Go writes.
fn good() -> Zip {
    let mut random = Random::new(1);
    let mut file =
        |name: &str, content: &[u8]| Entry::file(&mut random, &format!("{OF}/{name}"), content);
    Zip::new(
        OF,
        vec![
            file("go.mod", b"module example.com/m\n"),
            file("m.go", b"package m\n"),
        ],
    )
}

fn upstream(zip: &Zip) -> Result<Verdict, ZipError> {
    check(&zip.write(), &of(OF), Grammar::Upstream, 1)
}

/// The h1 of the good zip, when Go accepts this one, and why it is not canonical.
fn odd(change: impl FnOnce(&mut Zip)) -> (Option<H1>, Option<NotCanonical>) {
    let mut zip = good();
    change(&mut zip);
    let reason = match check(&zip.write(), &of(OF), Grammar::Canonical, 1) {
        Err(ZipError::NotCanonical(reason)) => Some(reason),
        _ => None,
    };
    (upstream(&zip).ok().map(|verdict| verdict.h1), reason)
}

#[test]
fn a_zip_as_go_writes_it_is_canonical() {
    let verdict = check(&good().write(), &of(OF), Grammar::Canonical, 1).unwrap();
    assert_eq!(verdict, upstream(&good()).unwrap());
    assert_eq!(
        (verdict.entries, verdict.unpacked_bytes, verdict.canonical),
        (2, 31, true)
    );
}

#[test]
fn other_forms_of_the_same_content_have_its_h1_and_are_not_canonical() {
    let h1 = upstream(&good()).unwrap().h1;
    type Form = (NotCanonical, fn(&mut Zip));
    let forms: [Form; 14] = [
        (NotCanonical::End, |zip| zip.comment = b"a comment".to_vec()),
        (NotCanonical::End, |zip| {
            zip.zip64 = Some(End64 {
                hidden: [true; 3],
                ..End64::default()
            });
        }),
        (NotCanonical::Gap, |zip| {
            zip.prefix = b"#!/bin/sh\n".to_vec()
        }),
        (NotCanonical::Gap, |zip| {
            zip.entries[1].gap = b"gap".to_vec()
        }),
        (NotCanonical::Gap, |zip| {
            zip.before_directory = b"gap".to_vec()
        }),
        (NotCanonical::Gap, |zip| zip.listed.reverse()),
        (NotCanonical::Extra, |zip| {
            zip.entries[0].comment = b"c".to_vec()
        }),
        (NotCanonical::Extra, |zip| {
            zip.entries[0].central.extra = b"\xfe\xca\0\0".to_vec()
        }),
        (NotCanonical::Extra, |zip| {
            zip.entries[0].zip64 = Some([0; 3])
        }),
        (NotCanonical::Flags(9), |zip| {
            zip.entries[0].central.flags = 9;
            zip.entries[0].describe();
        }),
        (NotCanonical::Slack, |zip| {
            let longer = [&zip.entries[0].packed[..], b"hidden"].concat();
            zip.entries[0].set_packed(longer);
        }),
        (NotCanonical::Checksum, |zip| {
            zip.entries[0].central.crc = 0;
            zip.entries[0].set_descriptor(false);
        }),
        (NotCanonical::LocalHeader, |zip| {
            let local = zip.entries[0].local.as_mut().unwrap();
            local.name = b"example.com/m@v1.0.0/xx.mod".to_vec();
        }),
        (NotCanonical::Descriptor, |zip| {
            zip.entries[0].descriptor[15] = 1
        }),
    ];
    for (reason, form) in forms {
        assert_eq!(odd(form), (Some(h1), Some(reason)));
    }
}

#[test]
fn a_checksum_that_h1_does_not_see_is_still_checked() {
    let mut zip = good();
    zip.entries[0].central.crc ^= 1;
    zip.entries[0].describe();
    assert!(matches!(upstream(&zip), Err(ZipError::Checksum)));
}

#[test]
fn files_beyond_the_limits_of_go_are_refused_by_their_declared_size_alone() {
    for (entry, size, refused) in [(0, (16 << 20) + 1, true), (1, (16 << 20) + 1, false)] {
        let mut zip = good();
        zip.entries[entry].central.size = size;
        zip.entries[entry].describe();
        let verdict = upstream(&zip);
        assert_eq!(
            matches!(verdict, Err(ZipError::FileTooLarge(_))),
            refused,
            "{verdict:?}"
        );
    }
    let mut zip = good();
    zip.entries[1].central.size = ZIP_BYTES_MAX as u32;
    assert!(matches!(upstream(&zip), Err(ZipError::ContentTooLarge)));
}

/// A file of any length with nothing in it.
struct Sparse(u64);

impl ReadAt for Sparse {
    fn len(&self) -> u64 {
        self.0
    }

    fn read_exact_at(&self, buf: &mut [u8], _: u64) -> std::io::Result<()> {
        buf.fill(0);
        Ok(())
    }
}

#[test]
fn a_zip_larger_than_any_module_is_not_even_looked_at() {
    let sized = |bytes| check(&Sparse(bytes), &of(OF), Grammar::Upstream, 1);
    assert!(matches!(
        sized(ZIP_BYTES_MAX + 1),
        Err(ZipError::TooLarge(_))
    ));
    assert!(matches!(sized(ZIP_BYTES_MAX), Err(ZipError::Format(_))));
}

/// A medium that fails from some byte on.
struct Failing(Vec<u8>, u64);

impl ReadAt for Failing {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
        if offset < self.1 {
            return Err(std::io::ErrorKind::Other.into());
        }
        self.0.as_slice().read_exact_at(buf, offset)
    }
}

#[test]
fn a_disk_that_fails_is_never_the_zips_fault() {
    let bytes = good().write();
    for from in 1..bytes.len() as u64 {
        let verdict = check(
            &Failing(bytes.clone(), from),
            &of(OF),
            Grammar::Canonical,
            1,
        );
        assert!(
            matches!(verdict, Err(ZipError::Io(_))),
            "{from}: {verdict:?}"
        );
    }
}

#[test]
#[ignore = "takes seconds: inflates as much as is allowed"]
fn entries_that_share_their_bytes_cannot_make_us_read_for_ever() {
    // Many names for one long run of empty blocks: a zip of megabytes, and terabytes to inflate.
    let mut random = Random::new(2);
    let mut entry = Entry::file(&mut random, &format!("{OF}/first"), b"");
    let blocks = b"\0\0\0\xff\xff".repeat(2_000_000);
    entry.set_packed([&blocks[..], b"\x01\0\0\xff\xff"].concat());
    let mut entries = vec![entry.clone()];
    entry.packed = Vec::new();
    entry.descriptor = Vec::new();
    for number in 0..8_000 {
        let mut entry = entry.clone();
        entry.central.name = format!("{OF}/{number}").into_bytes();
        entry.central.flags = 0;
        entry.offset = Some(0);
        entries.push(entry);
    }
    let bytes = Zip::new(OF, entries).write();
    let verdict = check(&bytes, &of(OF), Grammar::Upstream, 1);
    assert!(matches!(verdict, Err(ZipError::TooMuchWork)), "{verdict:?}");
}

#[test]
fn the_number_of_threads_does_not_change_the_verdict() {
    let mut random = Random::new(3);
    let mut entries = Vec::new();
    for number in 0..40 {
        let line = random.bytes(100);
        let mut entry = Entry::file(&mut random, &format!("{OF}/{number}.go"), b"");
        entry.content = line.repeat(400);
        entry.central.crc = crc32fast::hash(&entry.content);
        entry.central.size = entry.content.len() as u32;
        entry.store();
        entries.push(entry);
    }
    let mut zip = Zip::new(OF, entries);
    let one = list(&zip.write(), &of(OF), Grammar::Canonical, 1).unwrap();
    let four = list(&zip.write(), &of(OF), Grammar::Canonical, 4).unwrap();
    assert_eq!(one, four);
    assert!(
        one.verdict.unpacked_bytes > 1 << 20,
        "large enough for threads to start"
    );
    zip.entries[17].packed[5] ^= 1;
    zip.entries[20].packed.pop();
    for threads in [1, 2, 7] {
        let verdict = check(&zip.write(), &of(OF), Grammar::Upstream, threads);
        assert!(matches!(verdict, Err(ZipError::Checksum)), "{verdict:?}");
    }
}

/// What must hold for any bytes: no panic, and the canonical grammar accepts what the upstream grammar calls canonical.
fn judge_any(bytes: &[u8], of: &ModuleVersion) {
    let upstream = check(&bytes, of, Grammar::Upstream, 2).ok();
    let canonical = check(&bytes, of, Grammar::Canonical, 1).ok();
    assert_eq!(upstream.filter(|verdict| verdict.canonical), canonical);
}

#[test]
fn any_bytes_at_all_are_judged() {
    let of = of(OF);
    bolero::check!()
        .with_iterations(3000)
        .for_each(|bytes: &[u8]| judge_any(bytes, &of));
}

#[test]
fn any_damage_to_a_zip_is_judged() {
    let seeds: Vec<_> = seeds::all()
        .iter()
        .map(|seed| (of(&seed.of), seed.write()))
        .collect();
    bolero::check!()
        .with_type::<(u8, Vec<(u16, u8)>, u16)>()
        .with_iterations(3000)
        .for_each(|(seed, edits, cut)| {
            let (of, bytes) = &seeds[usize::from(*seed) % seeds.len()];
            let mut bytes = bytes.clone();
            for (at, byte) in edits {
                let at = usize::from(*at) % bytes.len();
                bytes[at] = *byte;
            }
            if cut.is_multiple_of(4) {
                bytes.truncate(usize::from(*cut));
            }
            judge_any(&bytes, of);
        });
}

#[test]
fn any_mutant_is_judged_alike_as_a_slice_and_through_a_reader() {
    let nursery = Nursery::new();
    bolero::check!()
        .with_type::<u32>()
        .with_iterations(1000)
        .for_each(|number| {
            let mutant = nursery.mutant(*number as usize);
            judge_any(&mutant.bytes, &of(&mutant.of));
        });
}
