//! The protocol's test vectors: every entry of every file beside this one is checked, and every file is claimed by
//! exactly one check. Each entry keeps the id it has in the specification.

// Helpers of tests may stop at once, as tests may.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod abi;
mod coverage;
mod entry;
mod hashes;
mod orders;
mod rules;
mod signatures;

use entry::Entry;

/// One test per file: its name, how many entries it holds, and what each must satisfy.
macro_rules! vectors {
    ($($test:ident: $file:literal, $count:literal => $check:path;)*) => {
        $(
            #[test]
            fn $test() {
                let entries = Entry::all($file);
                assert_eq!(entries.len(), $count, "entries of {}", $file);
                for entry in &entries {
                    println!("{}", entry.id);
                    $check(entry);
                }
            }
        )*

        #[test]
        fn every_file_of_vectors_is_checked() {
            let mut checked = vec![$(concat!($file, ".json").to_owned()),*];
            checked.sort();
            assert_eq!(checked, Entry::files());
        }
    };
}

vectors! {
    concatenated_texts_hash_as_in_java: "concatenate-and-hash", 5 => hashes::concatenate_and_hash;
    any_text_decodes_as_lax_hex: "lax-hex-decoding", 10 => hashes::lax_hex;
    deal_ids: "deal-id", 3 => hashes::deal_id;
    task_ids: "task-id", 3 => hashes::task_id;
    result_hashes_and_seals: "result-hash-and-seal", 1 => hashes::result_hash_and_seal;
    result_digests: "result-digest", 11 => hashes::result_digest;
    asset_addresses_are_known_before_creation: "asset-address", 6 => hashes::asset_address;
    dataset_addresses_as_text: "multiaddr", 2 => hashes::multiaddr;

    domain_separators: "eip712-domain", 8 => orders::domain;
    type_hashes: "eip712-typehash", 10 => orders::type_hash;
    order_hashes_and_signatures: "order-hash-and-signature", 12 => orders::order;
    a_close_is_signed_as_an_operation: "order-operation", 1 => orders::operation;
    challenges_and_their_tokens: "eip712-challenge", 4 => orders::challenge;

    authorizations: "workerpool-authorization", 5 => signatures::authorization;
    result_proxy_tokens: "result-proxy-authorization", 2 => signatures::result_proxy;
    enclave_signatures: "enclave-signature", 2 => signatures::enclave;
    enclave_headers: "enclave-challenge", 2 => signatures::enclave_header;
    prefixed_signatures: "personal-sign", 1 => signatures::prefixed;
    worker_logins: "worker-login", 4 => signatures::login;
    headers_for_the_secret_manager: "sms-authorization", 9 => signatures::secret_manager;

    calls_encode_as_the_contracts_took_them: "calldata", 15 => abi::calldata;
    a_standard_task_finalised_in_one_call: "call", 1 => abi::contribute_and_finalize;
    views_decode: "abi-decoding", 9 => abi::view;
    events_decode: "event-log", 16 => abi::event;
    reverts_decode: "revert", 90 => abi::revert;

    weights_and_consensus: "consensus", 24 => rules::consensus;
    rewards_and_kitty: "rewards", 11 => rules::rewards;
    deadlines_of_a_task: "deadlines", 1 => rules::deadlines;
    gas_prices: "gas-price", 12 => rules::gas_price;
    tags: "tag", 15 => rules::tag;
    deal_parameters_read_as_java_reads_them: "deal-params", 25 => rules::deal_params;
}
