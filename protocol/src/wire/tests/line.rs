//! What hosts of one site say to each other about their upstream.

use proptest::prelude::*;

use super::*;
use crate::line::{LineAnswer, LineQuestion, Load, PlacesAsked, PlacesTold};

#[test]
fn the_bytes_of_the_words_about_the_line_are_for_good() {
    let aa = "aa".repeat(32);
    let asked = LineQuestion::Places(PlacesAsked {
        serial: 7,
        most: 300,
        holds: Load { small: 1, zips: 2 },
        wants: Load {
            small: 251,
            zips: 0,
        },
    });
    is(
        &Query::Line(asked),
        "0000000c01 0b 00 07 fb2c01 0102 fbfb0000",
    );
    let rest = LineQuestion::Rest {
        entry: [0xaa; 32],
        rest_ms: 60_000,
    };
    is(&Query::Line(rest), &format!("0000002501 0b 01 {aa} fb60ea"));
    let told = LineAnswer::Places(PlacesTold {
        may: Load { small: 3, zips: 1 },
        ask_again_ms: 1000,
        most: 4,
        hosts: 6,
    });
    is(&Answer::Line(told), "0000000901 0c 00 0301 fbe803 04 06");
    is(&Answer::Line(LineAnswer::Heard), "0000000201 0c 01");
}

fn load() -> impl Strategy<Value = Load> {
    any::<(u16, u16)>().prop_map(|(small, zips)| Load { small, zips })
}

proptest! {
    #[test]
    fn words_about_the_line_come_back_as_they_went(
        (serial, most, holds, wants) in (any::<u64>(), any::<u16>(), load(), load()),
        (entry, rest_ms) in (hash(), any::<u32>()),
        (may, ask_again_ms, hosts) in (load(), any::<u32>(), any::<u16>()),
    ) {
        let asked = PlacesAsked { serial, most, holds, wants };
        fits(&Query::Line(LineQuestion::Places(asked)));
        fits(&Query::Line(LineQuestion::Rest { entry, rest_ms }));
        let told = PlacesTold { may, ask_again_ms, most, hosts };
        fits(&Answer::Line(LineAnswer::Places(told)));
    }
}
