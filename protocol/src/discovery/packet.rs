//! The packets: multicast DNS (RFC 6762) with the service name `_modmesh._tcp.local` (RFC 6763).
//!
//! An announcement is a pointer from the service to the host and the host's text record, both in full, without compressed
//! names, so that a receiver compares bytes in place of following pointers. Whatever differs from that form is not ours and
//! says nothing. Texts that are not known are skipped, so that later releases can say more.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::limits::DISCOVERY_PACKET_BYTES_MAX;
use crate::peer_name::PeerName;

/// Where it is spoken over IPv4: the group of multicast DNS, which no switch and hardly a firewall keeps back.
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
/// Where it is spoken over IPv6.
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
/// The port of both; packets come from it too.
pub const PORT: u16 = 5353;

/// `_modmesh._tcp.local`, as names stand in a packet (RFC 1035, section 3.1).
const SERVICE: &[u8] = b"\x08_modmesh\x04_tcp\x05local\x00";
/// Longest label of a name.
const LABEL_BYTES_MAX: usize = 63;
/// Flags: an answer with authority, and a question.
const ANSWER: u16 = 0x8400;
const QUESTION: u16 = 0;
/// The bit of a header that tells answers from questions.
const IS_ANSWER: u16 = 0x8000;
const TYPE_PTR: u16 = 12;
const TYPE_TXT: u16 = 16;
const CLASS_IN: u16 = 1;
/// The class of a record that takes the place of older ones (RFC 6762, section 10.2).
const CLASS_IN_FLUSH: u16 = 0x8001;
/// The bit that asks for an answer to the asker alone (RFC 6762, section 5.4), which we do not give.
const UNICAST_WANTED: u16 = 0x8000;
/// Seconds for which other programs may remember it: two minutes, as RFC 6762 has it for hosts. Ours do not look at it.
const TTL_SECONDS: u32 = 120;

/// What a host says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Its name, which it has to prove when it is called.
    pub peer: PeerName,
    /// The TCP port it can be called at, at the address that the packet came from; not 0.
    pub port: u16,
    /// A number that is drawn at each start. The same name with two numbers at the same time is two machines.
    pub run: u64,
    /// Reserved for hosts that share a secret: whom it is meant for. Nothing in this release, and not looked at.
    pub mesh: Option<u64>,
    /// Whether it has few neighbours and asks that others announce themselves too.
    pub asks: bool,
}

/// What was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// Somebody who does not say who, such as `modmesh doctor`, asks who is there.
    Question,
    /// A host tells of itself.
    Announcement(Announcement),
}

/// The question who is there. `id` is for the asker to know its own packet by; nobody else looks at it.
pub fn question(id: u16) -> Vec<u8> {
    let mut packet = header(id, QUESTION, 1, 0);
    put_question(&mut packet);
    packet
}

impl Announcement {
    /// The packet; nothing when the name is longer than those of hosts are.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let instance = instance(&self.peer)?;
        let (flags, questions) = match self.asks {
            true => (QUESTION, 1),
            false => (ANSWER, 0),
        };
        let mut packet = header(0, flags, questions, 2);
        if self.asks {
            put_question(&mut packet);
        }
        put_record(&mut packet, SERVICE, TYPE_PTR, CLASS_IN, &instance);
        let mut texts = Vec::new();
        put_text(&mut texts, "v=1");
        put_text(&mut texts, &format!("port={}", self.port));
        put_text(&mut texts, &format!("run={:016x}", self.run));
        if let Some(mesh) = self.mesh {
            put_text(&mut texts, &format!("mesh={mesh:016x}"));
        }
        put_record(&mut packet, &instance, TYPE_TXT, CLASS_IN_FLUSH, &texts);
        debug_assert!(packet.len() <= DISCOVERY_PACKET_BYTES_MAX);
        Some(packet)
    }
}

impl Packet {
    /// Reads what was heard; nothing when it is not ours, or not in our form.
    pub fn decode(packet: &[u8]) -> Option<Self> {
        if packet.len() > DISCOVERY_PACKET_BYTES_MAX {
            return None;
        }
        let mut rest = Rest(packet);
        let _id = rest.number()?;
        let flags = rest.number()?;
        let (questions, answers) = (rest.number()?, rest.number()?);
        let _authorities_and_more = rest.take(4)?;
        let asks = flags & IS_ANSWER == 0;
        if asks {
            // Others ask several things in one packet; ours is looked for in the first place.
            let is_ours = rest.is_next(SERVICE)
                && rest.number()? == TYPE_PTR
                && rest.number()? & !UNICAST_WANTED == CLASS_IN;
            if questions == 0 || !is_ours {
                return None;
            }
            if answers == 0 || questions > 1 {
                return Some(Self::Question);
            }
        } else if questions != 0 {
            return None;
        }
        let announcement = rest.announcement(asks);
        match announcement {
            Some(announcement) => Some(Self::Announcement(announcement)),
            // Of a browser of services, which tells what it knows already.
            None if asks => Some(Self::Question),
            None => None,
        }
    }
}

fn header(id: u16, flags: u16, questions: u16, answers: u16) -> Vec<u8> {
    let numbers = [id, flags, questions, answers, 0, 0];
    numbers.iter().flat_map(|n| n.to_be_bytes()).collect()
}

fn put_question(packet: &mut Vec<u8>) {
    packet.extend(SERVICE);
    packet.extend(TYPE_PTR.to_be_bytes());
    packet.extend(CLASS_IN.to_be_bytes());
}

fn put_record(packet: &mut Vec<u8>, name: &[u8], kind: u16, class: u16, data: &[u8]) {
    packet.extend(name);
    packet.extend(kind.to_be_bytes());
    packet.extend(class.to_be_bytes());
    packet.extend(TTL_SECONDS.to_be_bytes());
    packet.extend(u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes());
    packet.extend(data);
}

/// All our texts are shorter than 255 bytes.
fn put_text(texts: &mut Vec<u8>, text: &str) {
    texts.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    texts.extend(text.bytes());
}

/// `NAME._modmesh._tcp.local`.
fn instance(peer: &PeerName) -> Option<Vec<u8>> {
    let label = peer.as_str().as_bytes();
    let length = u8::try_from(label.len()).ok()?;
    (label.len() <= LABEL_BYTES_MAX).then(|| [&[length], label, SERVICE].concat())
}

/// What is left to read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_be_bytes(bytes.try_into().ok()?))
    }

    /// Goes past `expected`, if that is what comes.
    fn is_next(&mut self, expected: &[u8]) -> bool {
        match self.0.strip_prefix(expected) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    /// The data of a record of this name and kind.
    fn record(&mut self, name: &[u8], kind: u16) -> Option<&'a [u8]> {
        if !self.is_next(name) || self.number()? != kind {
            return None;
        }
        let (_class, _ttl) = (self.number()?, self.take(4)?);
        let length = self.number()?;
        self.take(length.into())
    }

    fn announcement(&mut self, asks: bool) -> Option<Announcement> {
        let pointer = self.record(SERVICE, TYPE_PTR)?;
        let (length, rest) = pointer.split_first()?;
        let label = rest.get(..usize::from(*length))?;
        let peer: PeerName = std::str::from_utf8(label).ok()?.parse().ok()?;
        if pointer != instance(&peer)? {
            return None;
        }
        let mut texts = Rest(self.record(pointer, TYPE_TXT)?);
        let (mut port, mut run, mut mesh) = (None, None, None);
        while let Some(length) = texts.take(1) {
            let text = texts.take(length.first().copied()?.into())?;
            let Some((key, value)) = std::str::from_utf8(text).ok()?.split_once('=') else {
                continue;
            };
            match key {
                "port" => port = Some(value.parse().ok().filter(|port| *port != 0)?),
                "run" => run = Some(u64::from_str_radix(value, 16).ok()?),
                "mesh" => mesh = Some(u64::from_str_radix(value, 16).ok()?),
                _ => {}
            }
        }
        Some(Announcement {
            peer,
            port: port?,
            run: run?,
            mesh,
            asks,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAME: &str = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";

    fn announcement(asks: bool) -> Announcement {
        Announcement {
            peer: NAME.parse().unwrap(),
            port: 8485,
            run: 0x0123_4567_89ab_cdef,
            mesh: None,
            asks,
        }
    }

    #[test]
    fn the_bytes_of_an_announcement_are_those_that_are_written_down() {
        let packet = announcement(false).encode().unwrap();
        let expected = [
            b"\0\0\x84\0\0\0\0\x02\0\0\0\0".as_slice(),
            b"\x08_modmesh\x04_tcp\x05local\0\0\x0c\0\x01\0\0\0\x78\0\x4a",
            b"\x34",
            NAME.as_bytes(),
            b"\x08_modmesh\x04_tcp\x05local\0",
            b"\x34",
            NAME.as_bytes(),
            b"\x08_modmesh\x04_tcp\x05local\0\0\x10\x80\x01\0\0\0\x78\0\x23",
            b"\x03v=1\x09port=8485\x14run=0123456789abcdef",
        ]
        .concat();
        assert_eq!(packet, expected);
        assert!(packet.len() <= 256, "{} bytes", packet.len());
    }

    #[test]
    fn what_is_said_is_heard() {
        for asks in [false, true] {
            for mesh in [None, Some(7)] {
                let said = Announcement {
                    mesh,
                    ..announcement(asks)
                };
                let packet = said.encode().unwrap();
                assert_eq!(Packet::decode(&packet), Some(Packet::Announcement(said)));
            }
        }
        assert_eq!(Packet::decode(&question(7)), Some(Packet::Question));
    }

    #[test]
    fn texts_of_later_releases_are_skipped_and_missing_ones_refused() {
        let with = |texts: &[&str]| {
            let instance = instance(&NAME.parse().unwrap()).unwrap();
            let mut packet = header(0, ANSWER, 0, 2);
            put_record(&mut packet, SERVICE, TYPE_PTR, CLASS_IN, &instance);
            let mut bytes = Vec::new();
            texts.iter().for_each(|text| put_text(&mut bytes, text));
            put_record(&mut packet, &instance, TYPE_TXT, CLASS_IN, &bytes);
            Packet::decode(&packet).is_some()
        };
        assert!(with(&["v=2", "port=1", "new", "run=a", "zone=berlin"]));
        for wrong in [
            &["port=1"][..],
            &["run=1"],
            &["port=0", "run=1"],
            &["port=65536", "run=1"],
            &["port=1", "run=g"],
            &["port=1", "run=11111111111111111"],
            &["port=1", "run=1", "mesh=x"],
        ] {
            assert!(!with(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn packets_of_other_programs_say_nothing() {
        let of_others = b"\0\x07\0\0\0\x01\0\0\0\0\0\0\x04_p2p\x04_udp\x05local\0\0\x0c\0\x01";
        assert_eq!(Packet::decode(of_others), None);
        assert_eq!(Packet::decode(b""), None);
        let mut long = announcement(false).encode().unwrap();
        long.resize(DISCOVERY_PACKET_BYTES_MAX + 1, 0);
        assert_eq!(Packet::decode(&long), None);
        let mut other_name = announcement(false).encode().unwrap();
        let at = other_name.len() - 100;
        other_name[at] ^= 1;
        assert_eq!(Packet::decode(&other_name), None);
    }

    #[test]
    fn a_question_that_brings_known_answers_is_a_question() {
        let mut packet = header(0, QUESTION, 1, 1);
        put_question(&mut packet);
        packet.extend(b"\xc0\x0c\0\x0c\0\x01\0\0\0\x78\0\x02\xc0\x0c");
        assert_eq!(Packet::decode(&packet), Some(Packet::Question));
    }

    proptest! {
        #[test]
        fn no_packet_is_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..700)) {
            let _ = Packet::decode(&bytes);
        }

        /// Cut, flipped or lengthened: it is read or refused, and what is read can be said again.
        #[test]
        fn a_damaged_announcement_is_read_or_refused(
            asks: bool,
            at in 0usize..300,
            flip: u8,
            cut in 0usize..300,
            more in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let mut packet = announcement(asks).encode().unwrap();
            if let Some(byte) = packet.get_mut(at) {
                *byte ^= flip;
            }
            packet.truncate(cut);
            packet.extend(more);
            if let Some(Packet::Announcement(read)) = Packet::decode(&packet) {
                let again = read.encode().unwrap();
                prop_assert_eq!(Packet::decode(&again), Some(Packet::Announcement(read)));
            }
        }
    }
}
