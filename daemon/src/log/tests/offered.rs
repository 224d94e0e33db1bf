//! A record that a neighbour gives of its own, with a file: it is looked at first, and held against the log like any other.

use std::sync::Arc;

use modmesh_protocol::module::ModuleVersion;
use modmesh_protocol::peer_name::PeerName;
use modmesh_protocol::wire::RecordAnswer;

use super::super::finding::{Authority, Finding, Offer, Told};
use super::super::mirror::Mirror;
use super::world::{Around, Fake, Log, Manner, kept, mirror, module};

/// What the mirror finds when this was offered; what is in the offer is told by `Around::offering`.
async fn find(mirror: &Mirror, of: &ModuleVersion) -> Told {
    let offer = Offer {
        by: PeerName::nameless(),
        record: RecordAnswer {
            id: 0,
            text: String::new(),
            head: String::new(),
        },
        tiles: Vec::new(),
    };
    mirror.find(of, Some(Arc::new(offer))).await
}

#[tokio::test]
async fn an_offered_record_that_proves_itself_is_taken_and_nobody_else_is_asked() {
    let log = Log::new(400);
    let state = kept(&log, 290, 300).await;
    let [offering, other, upstream] =
        ["offering", "other", "upstream"].map(|name| Fake::start(name, &log, 400, Manner::Honest));
    let around = Arc::new(Around {
        givers: vec![other.clone()],
        neighbours: vec![other.clone()],
        offering: Some(offering.clone()),
        upstream: Some(upstream.clone()),
        ..Around::default()
    });
    let mirror = mirror(state.path(), &around);
    let of = module(350);
    assert!(
        mirror
            .missing(&of)
            .is_some_and(|missing| missing.size == 300)
    );
    let told = find(&mirror, &of).await;
    assert!(matches!(told.finding, Finding::Listed(record) if record.id == 350));
    assert_eq!(&*told.by, "offering");
    assert_eq!(other.looked_up() + upstream.looked_up(), 0);
    assert_eq!(other.asked() + upstream.asked(), 0);
    // It is kept, and asked for no more.
    assert!(mirror.missing(&of).is_none());
    assert_eq!(&*find(&mirror, &of).await.by, "store");
}

#[tokio::test]
async fn a_false_offer_is_laid_to_its_giver_and_the_others_are_asked() {
    let log = Log::new(400);
    let forged = Log::forked(400, 0);
    for (shown, manner) in [(&forged, Manner::Honest), (&log, Manner::Forged)] {
        let state = kept(&log, 290, 300).await;
        let mut offering = Fake::new("offering", &log, 400, manner);
        offering.lookup = Some(Ok(super::super::ask::LookupAnswer {
            text: shown.record(50),
            ..log.answer(50, 300)
        }));
        let offering = Arc::new(offering);
        let honest = Fake::start("honest", &log, 400, Manner::Honest);
        let around = Arc::new(Around {
            givers: vec![honest.clone()],
            neighbours: vec![honest.clone()],
            offering: Some(offering.clone()),
            ..Around::default()
        });
        let mirror = mirror(state.path(), &around);
        let told = find(&mirror, &module(50)).await;
        assert!(matches!(told.finding, Finding::Listed(_)), "{told:?}");
        assert!(offering.is_blamed(), "{manner:?}");
        assert!(!honest.is_blamed());
    }
}
