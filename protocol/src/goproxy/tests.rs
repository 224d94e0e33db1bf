//! Stories about lists. The long ones compare with the loop of `TryProxies`, told in other words.

use super::*;

fn list(text: &str) -> ProxyList {
    ProxyList::parse(text).unwrap()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn a_list_shows_itself_as_it_was_written() {
    for text in [
        "https://a.example,direct",
        "https://a.example|http://b.example:8080/base|direct",
        "file:///srv/modules,off",
        "file:///",
        "http://[::1]:8484/go",
        "off",
        "direct",
    ] {
        assert_eq!(list(text).to_string(), text);
    }
}

#[test]
fn blanks_and_empty_entries_are_skipped_and_a_host_alone_means_https() {
    assert_eq!(
        list(" , a.example ,| HTTP://B.Example/x/ |,").to_string(),
        "https://a.example,http://b.example/x"
    );
    assert_eq!(list("localhost:3000").to_string(), "https://localhost:3000");
}

#[test]
fn nothing_after_off_or_direct_is_looked_at() {
    assert_eq!(list("off,::bad::").to_string(), "off");
    assert_eq!(
        list("https://a.example|direct,::bad::").entries().count(),
        2
    );
}

#[test]
fn a_list_without_entries_is_no_list() {
    for text in ["", " ", ",", "|,| "] {
        assert_eq!(
            ProxyList::parse(text),
            Err(ProxyListError::Empty),
            "{text:?}"
        );
    }
}

#[test]
fn an_entry_that_no_proxy_can_have_says_what_is_wrong_with_it() {
    for (text, expected) in [
        ("word", UrlFault::NoScheme),
        ("/srv/modules", UrlFault::NoScheme),
        ("ftp://a.example", UrlFault::Scheme),
        ("https:///x", UrlFault::Host),
        ("https:/a.example", UrlFault::Host),
        ("https://a b", UrlFault::Host),
        ("https://b\u{fc}cher.example", UrlFault::Host),
        ("https://[::1", UrlFault::Host),
        ("https://a.example:0", UrlFault::Port),
        ("https://a.example:65536", UrlFault::Port),
        ("https://a.example:+80", UrlFault::Port),
        ("https://a.example:", UrlFault::Port),
        ("https://a.example/../x", UrlFault::Path),
        ("https://a.example/%2e%2E/x", UrlFault::Path),
        ("https://a.example/%2", UrlFault::Path),
        ("https://a.example/a%2Fb", UrlFault::Path),
        ("https://a.example/a\tb", UrlFault::Path),
        ("https://a.example?x=1", UrlFault::QueryOrFragment),
        ("https://a.example/#x", UrlFault::QueryOrFragment),
        ("file://host/srv", UrlFault::File),
        ("file://", UrlFault::File),
        ("file:/srv", UrlFault::File),
    ] {
        let Err(ProxyListError::Url { entry, fault }) = ProxyList::parse(text) else {
            panic!("{text} was accepted");
        };
        assert_eq!((entry.as_str(), fault), (text, expected));
    }
}

#[test]
fn a_list_is_alike_on_all_hosts_without_userinfo_and_folders() {
    for (text, alike) in [
        ("https://proxy.example", true),
        ("http://proxy.example/go|https://other.example,direct", true),
        ("off", true),
        ("https://anna@proxy.example", false),
        (
            "https://proxy.example,https://anna:secret@other.example",
            false,
        ),
        ("file:///srv/go", false),
        ("https://proxy.example|file:///srv/go", false),
    ] {
        assert_eq!(list(text).is_alike(), alike, "{text}");
    }
}

#[test]
fn userinfo_goes_to_the_request_and_to_nobody_else() {
    let secret = "https://anna:s%40cret@proxy.example/go|direct";
    let parsed = list(secret);
    let Some(ProxyEntry::Url(url)) = parsed.entries().next() else {
        panic!("not a URL");
    };
    assert_eq!(url.as_str(), "https://anna:s%40cret@proxy.example/go");
    assert_eq!(url.credentials().unwrap(), b"anna:s@cret");
    assert_eq!(url.without_userinfo(), "https://proxy.example/go");
    assert_eq!(parsed.to_string(), "https://xxxxx@proxy.example/go|direct");
    for shown in [
        format!("{parsed:?}"),
        ProxyList::parse("https://anna:s%40cret@proxy.example:x")
            .unwrap_err()
            .to_string(),
        format!(
            "{:?}",
            ProxyList::parse("ftp://anna:s%40cret@proxy.example")
        ),
        format!("{:?}", ProxyList::parse("anna:s%40cret@proxy.example:x")),
    ] {
        assert!(
            !shown.contains("cret") && !shown.contains("anna"),
            "{shown}"
        );
    }
    let token = ProxyUrl::parse("https://token@proxy.example").unwrap();
    assert_eq!(token.credentials().unwrap(), b"token:");
}

#[test]
fn a_directory_may_have_any_name() {
    let url = ProxyUrl::parse("file:///home/j\u{fc}rgen/my modules%21/").unwrap();
    assert_eq!(url.to_string(), "file:///home/j%C3%BCrgen/my%20modules%21");
    assert_eq!(
        String::from_utf8(url.directory()).unwrap(),
        "/home/j\u{fc}rgen/my modules!/"
    );
    assert_eq!(ProxyUrl::parse("file:///").unwrap().directory(), b"/");
}

#[test]
fn our_own_address_is_taken_out_in_every_spelling() {
    let rest = "https://a.example,direct";
    for own in [
        "http://127.0.0.1:8484",
        "http://localhost:8484",
        "http://LOCALHOST.:8484/base",
        "http://x.localhost:8484",
        "http://0.0.0.0:8484",
        "http://[::ffff:127.0.0.1]:8484",
        "http://token@127.0.0.1:8484",
    ] {
        let with_us = list(&format!("{own}|{rest}"));
        let without_us = with_us.without(&[address("127.0.0.1:8484")]);
        assert_eq!(without_us.to_string(), rest, "{own}");
    }
    for other in [
        "http://127.0.0.1:8485",
        "http://127.0.0.2:8484",
        "http://192.0.2.1:8484",
        "http://[::1]:8484",
        "http://localhost",
        "file:///localhost:8484",
    ] {
        let text = format!("{other}|{rest}");
        let kept = list(&text).without(&[address("127.0.0.1:8484")]);
        assert_eq!(kept.to_string(), text, "{other}");
    }
}

#[test]
fn who_listens_everywhere_listens_on_loopback_too() {
    let text = "http://127.0.0.2:80|http://[::1]:80,off";
    assert_eq!(
        list(text).without(&[address("0.0.0.0:80")]).to_string(),
        "http://[::1]:80,off"
    );
    assert_eq!(list(text).without(&[address("[::]:80")]).to_string(), "off");
    assert_eq!(
        list("http://localhost,off")
            .without(&[address("[::]:80")])
            .to_string(),
        "off"
    );
}

#[test]
fn a_list_that_was_only_us_asks_nobody() {
    let nobody = list("http://localhost:8484").without(&[address("[::1]:8484")]);
    assert_eq!(nobody.entries().count(), 0);
    assert!(nobody.is_off());
    assert_eq!(nobody.to_string(), "off");
    assert_eq!(nobody.next_after(0, EntryOutcome::NotFound), Step::Stop);
    assert!(list("off").is_off());
    assert!(!list("https://a.example,off").is_off());
    assert!(!list("direct").is_off());
}

/// Every list of up to four proxies, every way in which each can fail: the walk asks exactly those whose forerunners
/// all let it pass.
#[test]
fn a_comma_passes_on_what_was_not_found_and_a_pipe_passes_on_everything() {
    for length in 1..=4_usize {
        for (pipes, misses) in
            (0..1_u32 << length).flat_map(|p| (0..1 << length).map(move |m| (p, m)))
        {
            let is = |bits: u32, index: usize| bits >> index & 1 == 1;
            let text: String = (0..length)
                .map(|i| {
                    format!(
                        "https://p{i}.example{}",
                        if is(pipes, i) { '|' } else { ',' }
                    )
                })
                .collect();
            let parsed = list(&text);
            let expected = (1..length)
                .take_while(|i| is(pipes, i - 1) || is(misses, i - 1))
                .count();
            let mut index = 0;
            loop {
                let outcome = if is(misses, index) {
                    EntryOutcome::NotFound
                } else {
                    EntryOutcome::OtherError
                };
                match parsed.next_after(index, outcome) {
                    Step::Try(next) => {
                        assert_eq!(next, index + 1);
                        index = next;
                    }
                    Step::Stop => break,
                }
            }
            assert_eq!(index, expected, "{text} misses {misses:b}");
        }
    }
}

#[test]
fn any_text_is_a_list_that_reads_back_or_a_clear_refusal() {
    bolero::check!().with_type::<String>().for_each(|text| {
        read_back(text);
        read_back(&format!("https://{text}"));
        read_back(&format!("https://u:p@h/{text}"));
    });
}

fn read_back(text: &str) {
    match ProxyList::parse(text) {
        Ok(parsed) => {
            let shown = parsed.to_string();
            assert_eq!(list(&shown).to_string(), shown, "{text:?}");
            for entry in parsed.entries() {
                if let ProxyEntry::Url(url) = entry {
                    assert_eq!(ProxyUrl::parse(url.as_str()).as_ref(), Ok(url), "{text:?}");
                }
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
