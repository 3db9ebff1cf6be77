//! The bindings hold every function and event of the interface, under the selector and the topic the chain knows it by.

use alloy_sol_types::{SolCall, SolError, SolEvent};
use poco::contracts::{
    App, AppRegistry, Dataset, DatasetRegistry, Group, Hub, Registry, ResultReceiver, Rlc,
    Workerpool, WorkerpoolRegistry,
};

/// Functions of the hub in token mode (spec onchain A2, A17, devnet §3). Deposits in the chain's own money, and the deal
/// views split in parts, are not bound.
const FUNCTIONS: &[(&str, u32)] = &[
    ("contribution_deadline_ratio", 0x74ed_5244),
    ("reveal_deadline_ratio", 0x2b88_57c1),
    ("final_deadline_ratio", 0xdb8a_aa26),
    ("workerpool_stake_ratio", 0x6112_f6fd),
    ("kitty_ratio", 0xdcb0_3241),
    ("kitty_min", 0x77a9_9692),
    ("kitty_address", 0xa47e_7f80),
    ("groupmember_purpose", 0x25ea_cba8),
    ("callbackgas", 0xe63e_c07d),
    ("teebroker", 0x5975_b8fc),
    ("matchOrders", 0x1561_94d4),
    ("sponsorMatchOrders", 0x2f39_1533),
    ("initialize", 0x5b36_c66b),
    ("initializeArray", 0xb504_681d),
    ("contribute", 0x3462_3484),
    ("contributeAndFinalize", 0x5fac_d761),
    ("reveal", 0xfc33_4e8c),
    ("reopen", 0xf6c6_8e10),
    ("finalize", 0x8fc3_75e5),
    ("claim", 0xbd66_528a),
    ("claimArray", 0xfa05_5d7e),
    ("initializeAndClaimArray", 0xf722_cb32),
    ("manageAppOrder", 0xb2b0_7e66),
    ("manageDatasetOrder", 0x4b74_7106),
    ("manageWorkerpoolOrder", 0x7e34_a077),
    ("manageRequestOrder", 0x8dd9_71d5),
    ("deposit", 0xb6b5_5f25),
    ("depositFor", 0x36ef_d16f),
    ("depositForArray", 0x3354_f8a5),
    ("receiveApproval", 0x8f4f_fcb1),
    ("withdraw", 0x2e1a_7d4d),
    ("withdrawTo", 0xc862_83c8),
    ("approve", 0x095e_a7b3),
    ("approveAndCall", 0xcae9_ca51),
    ("transfer", 0xa905_9cbb),
    ("transferFrom", 0x23b8_72dd),
    ("increaseAllowance", 0x3950_9351),
    ("decreaseAllowance", 0xa457_c2d7),
    ("broadcastAppOrder", 0xc52e_9de1),
    ("broadcastDatasetOrder", 0x4c46_92de),
    ("broadcastWorkerpoolOrder", 0x947f_5178),
    ("broadcastRequestOrder", 0x4693_d172),
    ("createCategory", 0x2985_03d9),
    ("setTeeBroker", 0xaefb_52b4),
    ("setCallbackGas", 0x01d0_9a3c),
    ("changeRegistries", 0x0e7c_4033),
    ("recover", 0xce74_6024),
    ("updateDomainSeparator", 0x89cc_fe89),
    ("importScore", 0xa9b2_0cee),
    ("configure", 0xb552_1817),
    ("transferOwnership", 0xf2fd_e38b),
    ("viewDeal", 0xb748_61b2),
    ("viewTask", 0xadcc_f0d5),
    ("viewTaskABILegacy", 0x248a_d6a0),
    ("viewContribution", 0xe741_363b),
    ("viewContributionABILegacy", 0x11e3_5aba),
    ("viewAccount", 0x6b55_f4a5),
    ("viewAccountABILegacy", 0x5b3a_e3e4),
    ("balanceOf", 0x70a0_8231),
    ("frozenOf", 0x1bf6_e00d),
    ("allowance", 0xdd62_ed3e),
    ("totalSupply", 0x1816_0ddd),
    ("viewScore", 0xdb23_0b52),
    ("viewConsumed", 0x4b2b_ec8c),
    ("viewPresigned", 0xd286_eb16),
    ("verifySignature", 0x0175_1998),
    ("verifyPresignature", 0xc87b_582a),
    ("verifyPresignatureOrSignature", 0xbf36_994e),
    ("viewCategory", 0x4f5f_44ec),
    ("viewCategoryABILegacy", 0xf935_3b8d),
    ("countCategory", 0xc140_996f),
    ("viewApp", 0xe152_3fb4),
    ("viewDataset", 0x1e14_3ef7),
    ("viewWorkerpool", 0xbd8a_b058),
    ("computeDealVolume", 0x6651_7ca6),
    ("assertDatasetDealCompatibility", 0x80f0_3425),
    ("resultFor", 0xd09c_c57e),
    ("appregistry", 0x45b6_37a9),
    ("datasetregistry", 0xb1b1_1d2c),
    ("workerpoolregistry", 0x90a0_f546),
    ("token", 0xfc0c_546a),
    ("owner", 0x8da5_cb5b),
    ("domain", 0xc2fb_26a6),
    ("eip712domain_separator", 0x9910_fd72),
    ("name", 0x06fd_de03),
    ("symbol", 0x95d8_9b41),
    ("decimals", 0x313c_e567),
    ("diamondCut", 0x1f93_1c1c),
    ("facets", 0x7a0e_d627),
    ("facetAddresses", 0x52ef_6b2c),
    ("facetFunctionSelectors", 0xadfc_a15e),
    ("facetAddress", 0xcdff_acc6),
    ("supportsInterface", 0x01ff_c9a7),
];

/// Events of the hub (spec onchain A16).
const EVENTS: &[(&str, &str)] = &[
    (
        "SchedulerNotice",
        "692ad61076dceddd0f1a861f737553dd61fc8501cf4190d29c4e90af6607f765",
    ),
    (
        "OrdersMatched",
        "d811b592ed0899225773e8933d8df64bd0b62761a9d7aad4ed5b22735f4610a4",
    ),
    (
        "DealSponsored",
        "81eec3d5401bb1693dbef61f0800bc16602905d6677d691c1262d6f08456e9a0",
    ),
    (
        "TaskInitialize",
        "252992fb0468d68d6a5784ec03214f0d0a362083f2d7ebd157af43b017a22e06",
    ),
    (
        "TaskContribute",
        "3fdb8d7797562d49a81078dbf7fa1771958ea452f8b13d1148383bd9506aecfb",
    ),
    (
        "TaskConsensus",
        "f6d49bf3e05d33a4bc497d3c793fb5756388bb96b947cf51bb60aaecb0e022e3",
    ),
    (
        "TaskReveal",
        "4b1763d473ac8fa80b4432ba90047e1b92444d8fabc55e6a002d9b1a316d7959",
    ),
    (
        "TaskReopen",
        "3afe0f24796ce653c6ab1f3e7aba5ce564eece5e82aee724aff28253e829f07b",
    ),
    (
        "TaskFinalize",
        "78ce8a8bc0fcb704e8ba3b3dbb36aa88002df8038128b4af2f27ef65db665044",
    ),
    (
        "TaskClaimed",
        "cbc308b5f91040d2659a5201858344b0b583cd2f9e18e8470c2fa052c5b21ff8",
    ),
    (
        "AccurateContribution",
        "9703f4589802246c80b822e63697180da799e363cd1b6fd9465a5e5574d53492",
    ),
    (
        "FaultyContribution",
        "f868788948d55240774fdbad06555105ef20bbc70d1b7eccda982b65e11e79bb",
    ),
    (
        "Lock",
        "625fed9875dada8643f2418b838ae0bc78d9a148a18eee4ee1979ff0f3f5d427",
    ),
    (
        "Unlock",
        "6381d9813cabeb57471b5a7e05078e64845ccdb563146a6911d536f24ce960f1",
    ),
    (
        "Reward",
        "c2aca55aa696938c7e95842e8939ca0fbb2120a3eeb8948cdcee2b70da566672",
    ),
    (
        "Seize",
        "1bccc549c38561cd5b57f0db11ceb8dde1b0b6ee05ab5e155b51c7c5ba64becb",
    ),
    (
        "Transfer",
        "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef",
    ),
    (
        "Approval",
        "8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b925",
    ),
    (
        "CreateCategory",
        "62bf08360c9d561749c54eaf4f8bf8cb6c8b6f4f40607bcec39a8172e714d25c",
    ),
    (
        "SignedAppOrder",
        "50933cf5a9c44d5ed66b895deb27212aa33d811b46a7b41093e047e213c0bcab",
    ),
    (
        "SignedDatasetOrder",
        "79ce85909be2c590a728d1634ce6ec8a7cbf815260bacc05387890a313da8130",
    ),
    (
        "SignedWorkerpoolOrder",
        "3a61aabf2ab04790d082ff1e332853b2f66944c2e951a146121f80272812a476",
    ),
    (
        "SignedRequestOrder",
        "3b0ac04165536d6b11d04220f998c840bd6e439d59c5d8721bba8a4e1fb9ebfd",
    ),
    (
        "ClosedAppOrder",
        "7343f75be43aba524f85326508cd975d016ef7884676377366c69a7c32e30668",
    ),
    (
        "ClosedDatasetOrder",
        "cf52e3228bc482a6656d8ab56c09888b1c5bf6aaadba0185e96a34836f2bb1d4",
    ),
    (
        "ClosedWorkerpoolOrder",
        "145ad51e4496173bca15e24e7eb46f9ab3a10eea0497e2801a3a6806c06113a3",
    ),
    (
        "ClosedRequestOrder",
        "582f43f2a741cbe708aae3b8d38a4efc3d09d7e81919697b3ca693f4c444cc05",
    ),
    (
        "BroadcastAppOrder",
        "6fd493f856b22df174df46975d6dcf0895c7dfb3c63d20179c0dcd5563e2f565",
    ),
    (
        "BroadcastDatasetOrder",
        "c56d982ad2fd39ebadca073cc88d9bdaee0f4c8e7b2b6be50227169daefc7b3f",
    ),
    (
        "BroadcastWorkerpoolOrder",
        "af81a046e31ebb2be305579e585ac6b2ee3fdc2dc9dba806bb826879bb2c7851",
    ),
    (
        "BroadcastRequestOrder",
        "54bee205d9b03332d6dc82bc907476dfef6ed4fd86058d49a72994baee781175",
    ),
];

#[test]
fn every_function_of_the_hub_has_its_selector() {
    for (name, selector) in FUNCTIONS {
        let bound = Hub::HubCalls::name_by_selector(selector.to_be_bytes());
        assert_eq!(bound, Some(*name), "{selector:#010x}");
    }
    assert_eq!(FUNCTIONS.len(), Hub::HubCalls::SELECTORS.len());
}

#[test]
fn every_event_of_the_hub_has_its_topic() {
    for (name, topic) in EVENTS {
        let topic = poco::hex::fixed::<32>(topic, "a topic").unwrap();
        let bound = Hub::HubEvents::name_by_selector(topic);
        assert_eq!(bound, Some(*name));
    }
    assert_eq!(EVENTS.len(), Hub::HubEvents::SELECTORS.len());
}

#[test]
fn the_other_contracts_have_their_selectors() {
    let selectors = [
        (Registry::isRegisteredCall::SELECTOR, 0xc3c5_a547),
        (Registry::ownerOfCall::SELECTOR, 0x6352_211e),
        (Registry::tokenOfOwnerByIndexCall::SELECTOR, 0x2f74_5c59),
        (Registry::tokenByIndexCall::SELECTOR, 0x4f6c_cce7),
        (Registry::safeTransferFromCall::SELECTOR, 0x4284_2e0e),
        (Registry::masterCall::SELECTOR, 0xee97_f7f3),
        (Registry::proxyCodeHashCall::SELECTOR, 0xeee3_9111),
        (Registry::previousCall::SELECTOR, 0x7c2b_2e71),
        (AppRegistry::createAppCall::SELECTOR, 0x3f78_68ff),
        (AppRegistry::predictAppCall::SELECTOR, 0xe921_18ed),
        (DatasetRegistry::createDatasetCall::SELECTOR, 0x3354_bcdb),
        (DatasetRegistry::predictDatasetCall::SELECTOR, 0xfe17_fc7a),
        (
            WorkerpoolRegistry::createWorkerpoolCall::SELECTOR,
            0xe402_38f4,
        ),
        (
            WorkerpoolRegistry::predictWorkerpoolCall::SELECTOR,
            0x064a_6c2a,
        ),
        (App::m_appTypeCall::SELECTOR, 0xf8c2_ceb3),
        (App::m_appMultiaddrCall::SELECTOR, 0x39e7_5d45),
        (App::m_appChecksumCall::SELECTOR, 0x84aa_f12e),
        (App::m_appMREnclaveCall::SELECTOR, 0xe30d_26a8),
        (Dataset::m_datasetMultiaddrCall::SELECTOR, 0xa61c_a6c5),
        (Dataset::m_datasetChecksumCall::SELECTOR, 0x1ba9_9d7e),
        (
            Workerpool::m_workerStakeRatioPolicyCall::SELECTOR,
            0xb55e_75af,
        ),
        (
            Workerpool::m_schedulerRewardRatioPolicyCall::SELECTOR,
            0x8763_9c68,
        ),
        (Workerpool::changePolicyCall::SELECTOR, 0xf199_413c),
        (Rlc::approveAndCallCall::SELECTOR, 0xcae9_ca51),
        (Group::keyHasPurposeCall::SELECTOR, 0xd202_158d),
        (ResultReceiver::receiveResultCall::SELECTOR, 0x5dd8_0855),
        (Hub::IncompatibleDatasetOrder::SELECTOR, 0x0afd_9382),
        (Hub::CallerIsNotTheRequester::SELECTOR, 0x74a0_583f),
        (Hub::UnsupportedOperation::SELECTOR, 0xde61_68e5),
        (Hub::OperationFailed::SELECTOR, 0x0364_eed2),
    ];
    for (bound, specified) in selectors {
        assert_eq!(u32::from_be_bytes(bound), specified, "{specified:#010x}");
    }
}

#[test]
fn transfers_of_tokens_and_of_assets_share_a_topic() {
    // So logs must be filtered by the emitting address.
    assert_eq!(
        Registry::Transfer::SIGNATURE_HASH,
        Hub::Transfer::SIGNATURE_HASH
    );
    assert_eq!(Rlc::Transfer::SIGNATURE_HASH, Hub::Transfer::SIGNATURE_HASH);
    assert_eq!(
        format!("{:#x}", Workerpool::PolicyUpdate::SIGNATURE_HASH),
        "0x61f37ef3a6d587ce2d6be79492e1fac570f2745787015db7ed95ad4397b05c1e"
    );
}
