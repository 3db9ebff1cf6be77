//! `workerpool devnet`: starts the local chain, says where it is, and keeps it until it is told to end.

use std::time::Duration;

use anyhow::Context as _;
use chassis::Shutdown;
use devnet::{AnvilSettings, App, Devnet, NodeChoice, Services, Settings, TokenMode};

use crate::cli::{DevnetArgs, Profile};

pub(crate) async fn run(args: DevnetArgs, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut devnet = Devnet::start(settings(args)).await?;
    println!("node        {}", devnet.rpc_url());
    println!("hub         {}", devnet.addresses().contracts.hub);
    println!("workerpool  {}", devnet.addresses().workerpool);
    if let Some(dir) = &devnet.settings().dir {
        println!("files       {}  (set -a; . {0}/devnet.env)", dir.display());
    }
    println!("stop        Ctrl-C");
    let mut look = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            () = shutdown.triggered() => break,
            _ = look.tick() => devnet.check_alive()?,
        }
    }
    devnet
        .stop()
        .await
        .context("the chain did not end in order")
}

fn settings(args: DevnetArgs) -> Settings {
    let defaults = Services::default();
    let node = match args.node {
        Some(url) => NodeChoice::Running(url),
        None => NodeChoice::Own(AnvilSettings {
            port: args.port,
            profile: match args.profile {
                Profile::Functional => devnet::Profile::Functional,
                Profile::Load => devnet::Profile::Load,
            },
            block_time: args.block_time,
            state: args.state,
            ..AnvilSettings::default()
        }),
    };
    Settings {
        node,
        token: if args.native {
            TokenMode::Native
        } else {
            TokenMode::Token
        },
        accounts: args.accounts,
        test_category_s: Some(args.test_category_seconds),
        app: Some(args.app_image.map_or_else(App::default, |image| App {
            image,
            ..App::default()
        })),
        dir: Some(args.dir),
        services: Services {
            scheduler: args.scheduler_url.unwrap_or(defaults.scheduler),
            config_server: args.config_server_url.unwrap_or(defaults.config_server),
            result_proxy: args.result_proxy_url.unwrap_or(defaults.result_proxy),
        },
        ..Settings::default()
    }
}
