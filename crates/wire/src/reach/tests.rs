use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::get;

use super::*;

/// Stands for the internet: of this machine's loopback addresses only 127.0.0.2 counts as public.
fn only_two(address: IpAddr) -> bool {
    address == IpAddr::from([127, 0, 0, 2])
}

/// A name server that answers with the next address of the row at every question, and counts them.
fn answers(row: &'static [[u8; 4]]) -> (Lookup, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let lookup: Lookup = Arc::new(move |_| {
        let at = count.fetch_add(1, Ordering::SeqCst).min(row.len() - 1);
        Box::pin(async move { Ok(vec![IpAddr::from(row[at])]) })
    });
    (lookup, asked)
}

async fn greeter(address: &str) -> (u16, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let greeted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&greeted);
    let routes = Router::new().route(
        "/",
        get(async move || {
            count.fetch_add(1, Ordering::SeqCst);
            "hello"
        }),
    );
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (port, greeted)
}

#[test]
fn addresses_of_this_machine_of_private_networks_and_of_special_use_are_not_public() {
    for private in [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "169.254.169.254",
        "0.0.0.0",
        "0.1.2.3",
        "100.64.0.1",
        "100.127.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0:10.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b:1::a00:1",
        "2001::1",
        "2001:db8::1",
        "2002:a00:1::",
        "3fff::1",
        "100::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ] {
        assert!(!is_public(private.parse().unwrap()), "{private}");
    }
    for public in [
        "1.1.1.1",
        "100.63.0.1",
        "100.128.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "198.20.0.1",
        "223.255.255.255",
        "::ffff:1.1.1.1",
        "2606:4700::1111",
        "2001:4860:4860::8888",
    ] {
        assert!(is_public(public.parse().unwrap()), "{public}");
    }
}

#[test]
fn this_machines_own_addresses_are_known() {
    assert!(is_this_machine(IpAddr::from([127, 0, 0, 1])));
    assert!(!is_this_machine(IpAddr::from([1, 1, 1, 1])));
}

#[test]
fn the_text_alone_shows_what_is_no_url_of_the_web_and_what_is_a_private_address_in_any_spelling() {
    let reach = Reach::public();
    for text in [
        "file:///etc/passwd",
        "jar:file:///a.jar!/b",
        "ftp://example.org/a",
        "ipfs://Qm",
        "data:,a",
        "/ipfs/Qm",
        "example.org/a",
        "http://",
        "",
    ] {
        assert!(
            matches!(reach.url(text), Err(Refusal::NotHttp { .. })),
            "{text}"
        );
    }
    for text in [
        "http://127.0.0.1:13100/metrics",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "https://169.254.169.254/latest/meta-data/",
        "http://user@10.0.0.1/",
        "http://0/",
    ] {
        assert!(
            matches!(reach.url(text), Err(Refusal::Private { .. })),
            "{text}"
        );
        assert!(Reach::anywhere().url(text).is_ok(), "{text}");
    }
    assert_eq!(
        reach.url(" https://example.org/a ").unwrap().as_str(),
        "https://example.org/a"
    );
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_refused_before_it_is_connected_to() {
    let (port, greeted) = greeter("127.0.0.1:0").await;
    let client = Reach::public().client().build().unwrap();
    let error = client
        .get(format!("http://localhost:{port}/"))
        .send()
        .await
        .unwrap_err();
    assert!(
        matches!(refusal_in(&error), Some(Refusal::Private { host, .. }) if host == "localhost"),
        "{error:?}"
    );
    assert_eq!(greeted.load(Ordering::SeqCst), 0);
    let url = Url::parse(&format!("http://localhost:{port}/")).unwrap();
    assert!(Reach::public().refusal(&url).await.is_some());
    let client = Reach::anywhere().client().no_proxy().build().unwrap();
    assert!(client.get(url).send().await.is_ok());
}

#[tokio::test]
async fn a_name_that_changes_its_meaning_between_the_look_and_the_use_gains_nothing() {
    let (lookup, asked) = answers(&[[127, 0, 0, 2], [127, 0, 0, 1]]);
    let reach = Reach::with(lookup, only_two);
    let (port, greeted) = greeter("127.0.0.1:0").await;
    let url = Url::parse(&format!("http://rebind.test:{port}/")).unwrap();
    assert_eq!(reach.refusal(&url).await, None, "a public address, so far");
    let client = reach.client().build().unwrap();
    let error = client.get(url).send().await.unwrap_err();
    assert!(refusal_in(&error).is_some(), "{error:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert_eq!(greeted.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_was_checked_is_what_is_connected_to() {
    let (lookup, asked) = answers(&[[127, 0, 0, 2], [127, 0, 0, 1]]);
    let client = Reach::with(lookup, only_two).client().build().unwrap();
    let (port, greeted) = greeter("127.0.0.2:0").await;
    let answer = client
        .get(format!("http://rebind.test:{port}/"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.text().await.unwrap(), "hello");
    assert_eq!(
        (asked.load(Ordering::SeqCst), greeted.load(Ordering::SeqCst)),
        (1, 1)
    );
}
