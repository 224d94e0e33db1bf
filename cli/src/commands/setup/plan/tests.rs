//! The table of cases of `setup` and `setup --undo`.

use super::*;

const US: &str = "http://127.0.0.1:8484";
const DEFAULT: &str = "https://proxy.example,direct";

fn fresh() -> Facts {
    Facts {
        listen: vec!["127.0.0.1:8484".parse().unwrap()],
        us: US.to_owned(),
        in_environment: None,
        in_file: None,
        told: DEFAULT.to_owned(),
        goenv: "/home/anna/.config/go/env".into(),
        remembered: None,
        memory: "/home/anna/.local/state/modmesh/setup.json".into(),
    }
}

/// What is there after the plan was carried out.
fn after(mut facts: Facts, plan: &Plan) -> Facts {
    match plan {
        Plan::Nothing(_) => {}
        Plan::SetUp { list, remember } => {
            facts.in_file = Some(list.clone());
            facts.remembered = Some(remember.clone());
        }
        Plan::TakeBack(Change::Write(list)) => facts.in_file = Some(list.clone()),
        Plan::TakeBack(Change::Unset) => facts.in_file = None,
        Plan::Forget => {}
    }
    if matches!(plan, Plan::TakeBack(_) | Plan::Forget) {
        facts.remembered = None;
    }
    facts.told = facts.in_file.clone().unwrap_or_else(|| DEFAULT.to_owned());
    facts
}

fn set(list: &str) -> Facts {
    Facts {
        in_file: Some(list.to_owned()),
        told: list.to_owned(),
        ..fresh()
    }
}

#[test]
fn whatever_was_there_is_there_again_after_undo() {
    let corp = "https://anna:secret@corp.example|off";
    let by_hand = format!("{US}|https://corp.example");
    for before in [fresh(), set(corp), set("direct"), set(&by_hand), set("")] {
        for stricts in [
            &[false] as &[bool],
            &[true],
            &[false, false],
            &[true, true],
            &[false, true, false],
        ] {
            let mut facts = before.clone();
            for strict in stricts {
                facts = after(facts.clone(), &set_up(&facts, *strict).unwrap());
            }
            match undo(&facts) {
                Ok(plan) => facts = after(facts, &plan),
                // What somebody wrote by hand led here already, and setup had nothing to do.
                Err(refusal) => {
                    assert!(matches!(refusal, Hindrance::NotRemembered { .. }));
                    assert_eq!(before.in_file.as_ref(), Some(&by_hand));
                }
            }
            assert_eq!(facts.in_file, before.in_file, "{stricts:?}");
            assert_eq!(facts.remembered, None);
        }
    }
}

#[test]
fn the_rest_of_the_list_stays_behind_us_or_is_remembered() {
    let list_of = |facts: &Facts, strict| match set_up(facts, strict).unwrap() {
        Plan::SetUp { list, remember } => (list, remember.upstream.unwrap()),
        other => panic!("{other:?}"),
    };
    let convenient = list_of(&fresh(), false);
    assert_eq!(convenient, (format!("{US}|{DEFAULT}"), DEFAULT.to_owned()));
    assert_eq!(list_of(&fresh(), true), (US.to_owned(), DEFAULT.to_owned()));
    // By hand behind another: we come first, and once.
    let behind = set(&format!("https://a.example|{US},direct"));
    let (list, _) = list_of(&behind, false);
    assert_eq!(list, format!("{US}|https://a.example|direct"));
    // From the one to the other, the upstream is the same.
    let convenient = after(fresh(), &set_up(&fresh(), false).unwrap());
    assert_eq!(list_of(&convenient, true), (US.to_owned(), DEFAULT.into()));
}

#[test]
fn a_second_time_changes_nothing() {
    for strict in [false, true] {
        let facts = after(fresh(), &set_up(&fresh(), strict).unwrap());
        assert!(matches!(set_up(&facts, strict).unwrap(), Plan::Nothing(_)));
    }
    let by_hand = set(&format!("{US}|https://corp.example"));
    assert!(matches!(set_up(&by_hand, false).unwrap(), Plan::Nothing(_)));
    assert!(matches!(undo(&fresh()).unwrap(), Plan::Nothing(_)));
    let elsewhere = set("https://corp.example");
    assert!(matches!(undo(&elsewhere).unwrap(), Plan::Nothing(_)));
}

#[test]
fn what_leads_here_and_is_not_remembered_is_said_with_the_line_to_type() {
    let said = |list: &str| undo(&set(list)).unwrap_err().to_string();
    let text = said(&format!("{US}|https://corp.example"));
    let line = "type: go env -w GOPROXY=\"https://corp.example\"";
    assert!(text.contains(line), "{text}");
    let text = said(US);
    assert!(text.contains("type: go env -u GOPROXY"), "{text}");
    let text = said(&format!("{US}|https://anna:secret@corp.example"));
    assert!(!text.contains("secret"), "{text}");
    assert!(text.contains("first entry out in /home/anna"), "{text}");
}

#[test]
fn a_line_to_type_never_loses_a_password() {
    let corp = "https://anna:secret@corp.example";
    let mut facts = after(set(corp), &set_up(&set(corp), false).unwrap());
    facts.in_file = Some("https://b.example".to_owned());
    let text = undo(&facts).unwrap_err().to_string();
    assert!(text.contains("`before` in /home/anna"), "{text}");
    assert!(text.contains("setup.json"), "{text}");
    let to_type = to_type(&set(corp), corp, false, "$(go env GOPROXY)");
    assert_eq!(to_type, format!("{US}|$(go env GOPROXY)"));
}

#[test]
fn what_was_changed_by_hand_is_not_written_over_by_undo() {
    let mut facts = after(fresh(), &set_up(&fresh(), false).unwrap());
    facts.in_file = Some("https://anna:secret@mine.example".to_owned());
    let refusal = undo(&facts).unwrap_err().to_string();
    assert!(refusal.contains("mine.example"), "{refusal}");
    assert!(refusal.contains("go env -u GOPROXY"), "{refusal}");
    assert!(!refusal.contains("secret"), "{refusal}");
    // Setup again takes the new value for the old one.
    facts.told = facts.in_file.clone().unwrap();
    let again = after(facts.clone(), &set_up(&facts, true).unwrap());
    let plan = undo(&again).unwrap();
    assert_eq!(after(again, &plan).in_file, facts.in_file);
    // Put back by hand: only the memory goes.
    let mut facts = after(fresh(), &set_up(&fresh(), false).unwrap());
    facts.in_file = None;
    assert_eq!(undo(&facts).unwrap(), Plan::Forget);
}

#[test]
fn a_variable_that_comes_first_is_named_with_the_line_to_write() {
    let mut facts = fresh();
    facts.in_environment = Some("https://anna:secret@corp.example".to_owned());
    let refusal = set_up(&facts, false).unwrap_err().to_string();
    let line = format!("export GOPROXY=\"{US}|$GOPROXY\"");
    assert!(refusal.contains(&line), "{refusal}");
    assert!(!refusal.contains("secret"), "{refusal}");
    facts.in_environment = Some("https://corp.example".to_owned());
    let refusal = set_up(&facts, false).unwrap_err().to_string();
    let line = format!("export GOPROXY=\"{US}|https://corp.example\"");
    assert!(refusal.contains(&line), "{refusal}");
    facts.in_environment = Some(format!("{US}|off"));
    assert!(matches!(set_up(&facts, false).unwrap(), Plan::Nothing(_)));
}

#[test]
fn another_settings_file_is_not_touched() {
    let mut facts = after(fresh(), &set_up(&fresh(), false).unwrap());
    facts.goenv = "/tmp/other".into();
    for refused in [undo(&facts), set_up(&facts, false)] {
        let refusal = refused.unwrap_err().to_string();
        let line = "GOENV=/home/anna/.config/go/env modmesh setup --undo";
        assert!(refusal.contains(line), "{refusal}");
    }
}

#[test]
fn gos_own_file_is_read_as_go_reads_it() {
    let file = "# GOPROXY=no\nGOPROXY=first\nGOPROXY=a=b\n GOPROXY=no\nGOSUMDB=off";
    assert_eq!(value_in(file).as_deref(), Some("a=b"));
    assert_eq!(value_in("GOPROXY=\n").as_deref(), Some(""));
    assert_eq!(value_in("GOPROXYX=a\n"), None);
}
