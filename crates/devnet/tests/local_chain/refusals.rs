//! What cannot be is refused with the reason and the mend.

use std::net::TcpListener;

use devnet::{
    AnvilSettings, Devnet, DevnetError, NodeChoice, Search, Settings, TestChain, TokenMode,
};

fn own(anvil: AnvilSettings) -> Settings {
    Settings {
        node: NodeChoice::Own(anvil),
        ..Settings::default()
    }
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let other = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = other.local_addr().unwrap().port();
    let error = Devnet::start(own(AnvilSettings {
        port,
        ..AnvilSettings::default()
    }))
    .await
    .unwrap_err();
    assert!(matches!(error, DevnetError::PortTaken { port: named, .. } if named == port));
    assert!(
        error.to_string().contains(&port.to_string())
            && error.to_string().contains("choose another port"),
        "{error}"
    );
}

#[tokio::test]
async fn a_missing_node_program_is_an_error_that_says_how_to_get_it() {
    let empty = tempfile::tempdir().unwrap();
    let nothing = Search {
        from: Some(empty.path().to_owned()),
        ..Search::default()
    };
    let error = Devnet::start_with(
        own(AnvilSettings {
            port: 0,
            ..AnvilSettings::default()
        }),
        &nothing,
    )
    .await
    .unwrap_err();
    assert!(matches!(error, DevnetError::AnvilMissing { .. }), "{error}");
    assert!(error.to_string().contains("make setup"), "{error}");
}

#[tokio::test]
async fn missing_contracts_are_an_error_that_says_how_to_get_them() {
    let empty = tempfile::tempdir().unwrap();
    let search = Search {
        contracts_variable: Some(empty.path().to_owned()),
        ..Search::of_this_process()
    };
    // A cache of its own: a prepared chain needs no contracts package any more.
    let settings = Settings {
        cache: Some(empty.path().join("cache")),
        ..own(AnvilSettings {
            port: 0,
            ..AnvilSettings::default()
        })
    };
    let error = Devnet::start_with(settings, &search).await.unwrap_err();
    assert!(
        matches!(error, DevnetError::ContractsMissing { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("make setup"), "{error}");
}

#[tokio::test]
async fn a_chain_of_the_other_mode_is_refused_with_both_modes() {
    for (there, wanted) in [
        (TokenMode::Token, TokenMode::Native),
        (TokenMode::Native, TokenMode::Token),
    ] {
        let chain = TestChain::with(Settings {
            token: there,
            ..Settings::default()
        })
        .await
        .unwrap();
        let error = Devnet::start(Settings {
            node: NodeChoice::Running(chain.devnet().rpc_url().clone()),
            token: wanted,
            ..Settings::default()
        })
        .await
        .unwrap_err();
        assert!(
            matches!(error, DevnetError::OtherMode { found, .. } if found == there),
            "{error}"
        );
        let text = error.to_string();
        assert!(
            text.contains(&format!("in {there} mode, not in {wanted} mode")),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_node_of_another_chain_is_refused_with_both_numbers() {
    let chain = TestChain::start().await.unwrap();
    let node = NodeChoice::Running(chain.devnet().rpc_url().clone());
    let error = Devnet::start(Settings {
        node,
        chain_id: 4711,
        ..Settings::default()
    })
    .await
    .unwrap_err();
    assert!(
        error.to_string().contains("65535") && error.to_string().contains("4711"),
        "{error}"
    );
}

#[tokio::test]
async fn a_node_that_dies_is_noticed_with_its_last_words() {
    let world = tempfile::tempdir().unwrap();
    let program = world.path().join("anvil");
    std::fs::write(
        &program,
        "#!/bin/sh\necho out of memory, says the test >&2\nexit 3\n",
    )
    .unwrap();
    std::fs::set_permissions(
        &program,
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let state = world.path().join("state.json");
    std::fs::write(&state, "{}").unwrap();
    let settings = own(AnvilSettings {
        port: 0,
        program: Some(program),
        state: Some(state),
        log: Some(world.path().join("anvil.log")),
        ..AnvilSettings::default()
    });
    let text = Devnet::start(settings).await.unwrap_err().to_string();
    assert!(
        text.contains("exit status: 3") && text.contains("out of memory, says the test"),
        "{text}"
    );
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused_before_anything_starts() {
    let few = Settings {
        accounts: 3,
        ..Settings::default()
    };
    let text = Devnet::start(few).await.unwrap_err().to_string();
    assert!(
        text.contains("number of accounts") && text.contains('3'),
        "{text}"
    );
    let still = AnvilSettings {
        block_time: Some(std::time::Duration::ZERO),
        ..AnvilSettings::default()
    };
    let text = Devnet::start(own(still)).await.unwrap_err().to_string();
    assert!(text.contains("block time"), "{text}");
}
