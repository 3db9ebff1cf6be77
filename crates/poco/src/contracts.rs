//! Bindings of the contracts, written from their interface (spec onchain A3, A4, A8, A16 to A18, D1 to D3): the hub in
//! token mode, the RLC token, the three registries, and the asset contracts.
//!
//! Statuses are plain `uint8`, so that a number this version does not know survives decoding; see [`crate::status`].
//! The order structs here carry `sign` and are for calldata only: to hash an order use [`crate::orders`], whose types
//! leave it out. Texts of views (`params`, names) must not be decoded with validation: the contracts store any bytes.

// The macro writes the items below and gives most of them no documentation of their own.
#![allow(missing_docs)]

use alloy_sol_types::sol;

sol! {
    #![sol(all_derives)]

    /// Free and locked stake of an account, in nRLC.
    struct Account {
        uint256 stake;
        uint256 locked;
    }

    /// A category: its time reference is in seconds.
    struct Category {
        string name;
        string description;
        uint256 workClockTimeRef;
    }

    /// An application as the hub shows it.
    struct AppInfo {
        address owner;
        string m_appName;
        string m_appType;
        bytes m_appMultiaddr;
        bytes32 m_appChecksum;
        bytes m_appMREnclave;
    }

    /// A dataset as the hub shows it.
    struct DatasetInfo {
        address owner;
        string m_datasetName;
        bytes m_datasetMultiaddr;
        bytes32 m_datasetChecksum;
    }

    /// A workerpool as the hub shows it. Ratios are in percent.
    struct WorkerpoolInfo {
        address owner;
        string m_workerpoolDescription;
        uint256 m_workerStakeRatioPolicy;
        uint256 m_schedulerRewardRatioPolicy;
    }

    /// An asset in a deal: owner and price (nRLC) as they were at the match.
    struct Resource {
        address pointer;
        address owner;
        uint256 price;
    }

    /// A deal. Unknown ids give all zeros: it exists when `startTime` (seconds) is not zero.
    struct Deal {
        Resource app;
        Resource dataset;
        Resource workerpool;
        uint256 trust;
        uint256 category;
        bytes32 tag;
        address requester;
        address beneficiary;
        address callback;
        string params;
        uint256 startTime;
        uint256 botFirst;
        uint256 botSize;
        uint256 workerStake;
        uint256 schedulerRewardRatio;
        address sponsor;
    }

    /// A task. Unknown ids give all zeros: it exists when `dealid` is not zero. Times are in seconds.
    struct Task {
        uint8 status;
        bytes32 dealid;
        uint256 idx;
        uint256 timeref;
        uint256 contributionDeadline;
        uint256 revealDeadline;
        uint256 finalDeadline;
        bytes32 consensusValue;
        uint256 revealCounter;
        uint256 winnerCounter;
        address[] contributors;
        bytes32 resultDigest;
        bytes results;
        uint256 resultsTimestamp;
        bytes resultsCallback;
    }

    /// A contribution; `weight` is the logarithm the reward is shared by. Unknown ones have status 0.
    struct Contribution {
        uint8 status;
        bytes32 resultHash;
        bytes32 resultSeal;
        address enclaveChallenge;
        uint256 weight;
    }

    struct AppOrder {
        address app;
        uint256 appprice;
        uint256 volume;
        bytes32 tag;
        address datasetrestrict;
        address workerpoolrestrict;
        address requesterrestrict;
        bytes32 salt;
        bytes sign;
    }

    struct DatasetOrder {
        address dataset;
        uint256 datasetprice;
        uint256 volume;
        bytes32 tag;
        address apprestrict;
        address workerpoolrestrict;
        address requesterrestrict;
        bytes32 salt;
        bytes sign;
    }

    struct WorkerpoolOrder {
        address workerpool;
        uint256 workerpoolprice;
        uint256 volume;
        bytes32 tag;
        uint256 category;
        uint256 trust;
        address apprestrict;
        address datasetrestrict;
        address requesterrestrict;
        bytes32 salt;
        bytes sign;
    }

    struct RequestOrder {
        address app;
        uint256 appmaxprice;
        address dataset;
        uint256 datasetmaxprice;
        address workerpool;
        uint256 workerpoolmaxprice;
        address requester;
        uint256 volume;
        bytes32 tag;
        uint256 category;
        uint256 trust;
        address beneficiary;
        address callback;
        string params;
        bytes32 salt;
        bytes sign;
    }

    /// `operation` 0 presigns the order, 1 closes it.
    struct AppOrderOperation {
        AppOrder order;
        uint8 operation;
        bytes sign;
    }

    struct DatasetOrderOperation {
        DatasetOrder order;
        uint8 operation;
        bytes sign;
    }

    struct WorkerpoolOrderOperation {
        WorkerpoolOrder order;
        uint8 operation;
        bytes sign;
    }

    struct RequestOrderOperation {
        RequestOrder order;
        uint8 operation;
        bytes sign;
    }

    /// The domain that order signatures are made for.
    struct OrderDomain {
        string name;
        string version;
        uint256 chainId;
        address verifyingContract;
    }

    /// Which functions of which facet a diamond gains (`action` 0), replaces (1) or loses (2).
    struct FacetCut {
        address facetAddress;
        uint8 action;
        bytes4[] functionSelectors;
    }

    /// What a new diamond does first.
    struct DiamondArgs {
        address owner;
        address init;
        bytes initCalldata;
    }

    struct Facet {
        address facetAddress;
        bytes4[] functionSelectors;
    }

    /// The hub: one proxy that holds orders, deals, tasks and stakes.
    interface Hub {
        // Deals.
        function matchOrders(AppOrder apporder, DatasetOrder datasetorder, WorkerpoolOrder workerpoolorder, RequestOrder requestorder) external returns (bytes32 dealid);
        function sponsorMatchOrders(AppOrder apporder, DatasetOrder datasetorder, WorkerpoolOrder workerpoolorder, RequestOrder requestorder) external returns (bytes32 dealid);
        function manageAppOrder(AppOrderOperation operation) external;
        function manageDatasetOrder(DatasetOrderOperation operation) external;
        function manageWorkerpoolOrder(WorkerpoolOrderOperation operation) external;
        function manageRequestOrder(RequestOrderOperation operation) external;
        function broadcastAppOrder(AppOrder order) external;
        function broadcastDatasetOrder(DatasetOrder order) external;
        function broadcastWorkerpoolOrder(WorkerpoolOrder order) external;
        function broadcastRequestOrder(RequestOrder order) external;

        // Tasks.
        function initialize(bytes32 dealid, uint256 idx) external returns (bytes32 taskid);
        function initializeArray(bytes32[] dealids, uint256[] idxs) external returns (bool);
        function contribute(bytes32 taskid, bytes32 resultHash, bytes32 resultSeal, address enclaveChallenge, bytes enclaveSign, bytes authorizationSign) external;
        function contributeAndFinalize(bytes32 taskid, bytes32 resultDigest, bytes results, bytes resultsCallback, address enclaveChallenge, bytes enclaveSign, bytes authorizationSign) external;
        function reveal(bytes32 taskid, bytes32 resultDigest) external;
        function reopen(bytes32 taskid) external;
        function finalize(bytes32 taskid, bytes results, bytes resultsCallback) external;
        function claim(bytes32 taskid) external;
        function claimArray(bytes32[] taskids) external returns (bool);
        function initializeAndClaimArray(bytes32[] dealids, uint256[] idxs) external returns (bool);

        // Escrow. The hub is itself a token of free stakes: the ERC-20 functions below move stakes, not RLC.
        function deposit(uint256 amount) external returns (bool);
        function depositFor(uint256 amount, address target) external returns (bool);
        function depositForArray(uint256[] amounts, address[] targets) external returns (bool);
        function receiveApproval(address sender, uint256 amount, address token, bytes data) external returns (bool);
        function withdraw(uint256 amount) external returns (bool);
        function withdrawTo(uint256 amount, address target) external returns (bool);
        function approve(address spender, uint256 amount) external returns (bool);
        function approveAndCall(address spender, uint256 amount, bytes data) external returns (bool);
        function transfer(address recipient, uint256 amount) external returns (bool);
        function transferFrom(address sender, address recipient, uint256 amount) external returns (bool);
        function increaseAllowance(address spender, uint256 added) external returns (bool);
        function decreaseAllowance(address spender, uint256 subtracted) external returns (bool);

        // Owner's settings.
        function configure(address token, string name, string symbol, uint8 decimals, address appregistry, address datasetregistry, address workerpoolregistry, address v3_iexecHub) external;
        function createCategory(string name, string description, uint256 workClockTimeRef) external returns (uint256);
        function setTeeBroker(address teebroker) external;
        function setCallbackGas(uint256 callbackgas) external;
        function changeRegistries(address appregistry, address datasetregistry, address workerpoolregistry) external;
        function recover() external returns (uint256);
        function transferOwnership(address newOwner) external;
        function diamondCut(FacetCut[] cuts, address init, bytes initCalldata) external;
        function updateDomainSeparator() external;
        function importScore(address worker) external;

        // Views: deals and tasks.
        function viewDeal(bytes32 dealid) external view returns (Deal deal);
        function viewTask(bytes32 taskid) external view returns (Task task);
        function viewTaskABILegacy(bytes32 taskid) external view returns (uint8 status, bytes32 dealid, uint256 idx, uint256 timeref, uint256 contributionDeadline, uint256 revealDeadline, uint256 finalDeadline, bytes32 consensusValue, uint256 revealCounter, uint256 winnerCounter, address[] contributors, bytes results);
        function viewContribution(bytes32 taskid, address worker) external view returns (Contribution contribution);
        function viewContributionABILegacy(bytes32 taskid, address worker) external view returns (uint8 status, bytes32 resultHash, bytes32 resultSeal, address enclaveChallenge);
        function viewScore(address worker) external view returns (uint256 score);
        function resultFor(bytes32 taskid) external view returns (bytes results);
        function callbackgas() external view returns (uint256);
        function teebroker() external view returns (address);

        // Views: orders and assets.
        function viewConsumed(bytes32 orderHash) external view returns (uint256 consumed);
        function viewPresigned(bytes32 orderHash) external view returns (address signer);
        function verifySignature(address account, bytes32 hash, bytes signature) external view returns (bool);
        function verifyPresignature(address account, bytes32 hash) external view returns (bool);
        function verifyPresignatureOrSignature(address account, bytes32 hash, bytes signature) external view returns (bool);
        function computeDealVolume(AppOrder apporder, DatasetOrder datasetorder, WorkerpoolOrder workerpoolorder, RequestOrder requestorder) external view returns (uint256 volume);
        function assertDatasetDealCompatibility(DatasetOrder datasetorder, bytes32 dealid) external view;
        function viewApp(address app) external view returns (AppInfo info);
        function viewDataset(address dataset) external view returns (DatasetInfo info);
        function viewWorkerpool(address workerpool) external view returns (WorkerpoolInfo info);
        function appregistry() external view returns (address);
        function datasetregistry() external view returns (address);
        function workerpoolregistry() external view returns (address);

        // Views: accounts.
        function viewAccount(address account) external view returns (Account info);
        function viewAccountABILegacy(address account) external view returns (uint256 stake, uint256 locked);
        function balanceOf(address account) external view returns (uint256);
        function frozenOf(address account) external view returns (uint256);
        function allowance(address account, address spender) external view returns (uint256);
        function totalSupply() external view returns (uint256);
        function name() external view returns (string);
        function symbol() external view returns (string);
        function decimals() external view returns (uint8);
        function token() external view returns (address);
        function owner() external view returns (address);

        // Views: categories and constants.
        function viewCategory(uint256 catid) external view returns (Category category);
        function viewCategoryABILegacy(uint256 catid) external view returns (string name, string description, uint256 workClockTimeRef);
        function countCategory() external view returns (uint256 count);
        function contribution_deadline_ratio() external view returns (uint256);
        function reveal_deadline_ratio() external view returns (uint256);
        function final_deadline_ratio() external view returns (uint256);
        function workerpool_stake_ratio() external view returns (uint256);
        function kitty_ratio() external view returns (uint256);
        function kitty_min() external view returns (uint256);
        function kitty_address() external view returns (address);
        function groupmember_purpose() external view returns (uint256);
        function domain() external view returns (OrderDomain);
        function eip712domain_separator() external view returns (bytes32);

        // Views: the proxy.
        function facets() external view returns (Facet[]);
        function facetFunctionSelectors(address facet) external view returns (bytes4[]);
        function facetAddresses() external view returns (address[]);
        function facetAddress(bytes4 selector) external view returns (address);
        function supportsInterface(bytes4 interfaceId) external view returns (bool);

        event SchedulerNotice(address indexed workerpool, bytes32 dealid);
        event OrdersMatched(bytes32 dealid, bytes32 appHash, bytes32 datasetHash, bytes32 workerpoolHash, bytes32 requestHash, uint256 volume);
        event DealSponsored(bytes32 dealId, address sponsor);
        event TaskInitialize(bytes32 indexed taskid, address indexed workerpool);
        event TaskContribute(bytes32 indexed taskid, address indexed worker, bytes32 hash);
        event TaskConsensus(bytes32 indexed taskid, bytes32 consensus);
        event TaskReveal(bytes32 indexed taskid, address indexed worker, bytes32 digest);
        event TaskReopen(bytes32 indexed taskid);
        event TaskFinalize(bytes32 indexed taskid, bytes results);
        event TaskClaimed(bytes32 indexed taskid);
        event AccurateContribution(address indexed worker, bytes32 indexed taskid);
        event FaultyContribution(address indexed worker, bytes32 indexed taskid);
        event Lock(address owner, uint256 amount);
        event Unlock(address owner, uint256 amount);
        event Reward(address owner, uint256 amount, bytes32 ref);
        event Seize(address owner, uint256 amount, bytes32 ref);
        event Transfer(address indexed from, address indexed to, uint256 value);
        event Approval(address indexed owner, address indexed spender, uint256 value);
        event CreateCategory(uint256 catid, string name, string description, uint256 workClockTimeRef);
        event SignedAppOrder(bytes32 appHash);
        event SignedDatasetOrder(bytes32 datasetHash);
        event SignedWorkerpoolOrder(bytes32 workerpoolHash);
        event SignedRequestOrder(bytes32 requestHash);
        event ClosedAppOrder(bytes32 appHash);
        event ClosedDatasetOrder(bytes32 datasetHash);
        event ClosedWorkerpoolOrder(bytes32 workerpoolHash);
        event ClosedRequestOrder(bytes32 requestHash);
        event BroadcastAppOrder(AppOrder apporder);
        event BroadcastDatasetOrder(DatasetOrder datasetorder);
        event BroadcastWorkerpoolOrder(WorkerpoolOrder workerpoolorder);
        event BroadcastRequestOrder(RequestOrder requestorder);

        error IncompatibleDatasetOrder(string reason);
        error CallerIsNotTheRequester();
        error UnsupportedOperation(bytes4 selector);
        error OperationFailed();
    }

    /// The RLC token (9 decimals: one base unit is one nRLC). `refill`, `owner` and minting exist in the development
    /// token only.
    interface Rlc {
        function approve(address spender, uint256 amount) external returns (bool);
        function approveAndCall(address spender, uint256 amount, bytes data) external returns (bool);
        function transfer(address recipient, uint256 amount) external returns (bool);
        function transferFrom(address sender, address recipient, uint256 amount) external returns (bool);
        function balanceOf(address account) external view returns (uint256);
        function allowance(address account, address spender) external view returns (uint256);
        function totalSupply() external view returns (uint256);
        function owner() external view returns (address);
        function refill(address account, uint256 amount) external;

        event Transfer(address indexed from, address indexed to, uint256 value);
        event Approval(address indexed owner, address indexed spender, uint256 value);
    }

    /// What the three registries share. The token id of an asset is its address as a number.
    interface Registry {
        function initialize(address previous) external;
        function setBaseURI(string baseUri) external;
        function transferOwnership(address newOwner) external;
        function owner() external view returns (address);
        function isRegistered(address entry) external view returns (bool);
        function ownerOf(uint256 tokenId) external view returns (address);
        function balanceOf(address account) external view returns (uint256);
        function tokenOfOwnerByIndex(address account, uint256 index) external view returns (uint256);
        function tokenByIndex(uint256 index) external view returns (uint256);
        function totalSupply() external view returns (uint256);
        function safeTransferFrom(address from, address to, uint256 tokenId) external;
        function master() external view returns (address);
        function proxyCodeHash() external view returns (bytes32);
        function previous() external view returns (address);

        /// Shares its topic with the ERC-20 event of hub and token, which has one topic less: filter by emitter.
        event Transfer(address indexed from, address indexed to, uint256 indexed tokenId);
    }

    interface AppRegistry {
        function createApp(address owner, string name, string appType, bytes multiaddr, bytes32 checksum, bytes mrenclave) external returns (address app);
        function predictApp(address owner, string name, string appType, bytes multiaddr, bytes32 checksum, bytes mrenclave) external view returns (address app);
    }

    interface DatasetRegistry {
        function createDataset(address owner, string name, bytes multiaddr, bytes32 checksum) external returns (address dataset);
        function predictDataset(address owner, string name, bytes multiaddr, bytes32 checksum) external view returns (address dataset);
    }

    interface WorkerpoolRegistry {
        function createWorkerpool(address owner, string description) external returns (address workerpool);
        function predictWorkerpool(address owner, string description) external view returns (address workerpool);
    }

    interface App {
        function initialize(string name, string appType, bytes multiaddr, bytes32 checksum, bytes mrenclave) external;
        function owner() external view returns (address);
        function m_appName() external view returns (string);
        function m_appType() external view returns (string);
        function m_appMultiaddr() external view returns (bytes);
        function m_appChecksum() external view returns (bytes32);
        function m_appMREnclave() external view returns (bytes);
    }

    interface Dataset {
        function initialize(string name, bytes multiaddr, bytes32 checksum) external;
        function owner() external view returns (address);
        function m_datasetName() external view returns (string);
        function m_datasetMultiaddr() external view returns (bytes);
        function m_datasetChecksum() external view returns (bytes32);
    }

    /// A pool. Its ratios (percent) are copied into a deal at the match.
    interface Workerpool {
        function initialize(string description) external;
        function owner() external view returns (address);
        function m_workerpoolDescription() external view returns (string);
        function m_workerStakeRatioPolicy() external view returns (uint256);
        function m_schedulerRewardRatioPolicy() external view returns (uint256);
        function changePolicy(uint256 workerStakeRatio, uint256 schedulerRewardRatio) external;

        event PolicyUpdate(uint256 oldWorkerStakeRatioPolicy, uint256 newWorkerStakeRatioPolicy, uint256 oldSchedulerRewardRatioPolicy, uint256 newSchedulerRewardRatioPolicy);
    }

    /// A contract that stands for a group of accounts in an order's restriction (ERC-734).
    interface Group {
        function keyHasPurpose(bytes32 key, uint256 purpose) external view returns (bool);
    }

    /// A contract wallet (ERC-1271).
    interface ContractWallet {
        function isValidSignature(bytes32 hash, bytes signature) external view returns (bytes4);
    }

    /// A contract that is told the result of a task (spec onchain A15).
    interface ResultReceiver {
        function receiveResult(bytes32 taskid, bytes result) external;
    }
}
