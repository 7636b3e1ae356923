// Every bound of the product in one place: names carry their unit last.

/** Longest HTTP request body, in bytes. */
export const requestBodyBytesMax = 4 * 1024 * 1024;
/** Longest captured output of one command, in bytes; the middle of more is cut. */
export const commandOutputBytesMax = 1024 * 1024;
/** Default time limit of one command on a host. */
export const commandTimeoutMs = 60_000;
/** One try of one request to the store. */
export const storeRequestTimeoutMs = 3_000;
/** The first try of one request to the store; each further one may take twice as long. */
export const storeFirstTryMs = 1_000;
/** Asking a node of the store whether it has a leader, after a request failed. */
export const storeProbeMs = 400;
/** All tries of one request to the store. */
export const storeDeadlineMs = 15_000;
/** Default time limit of one step of a task. */
export const stepTimeoutMs = 300_000;
/** Most steps of one task that run at once. */
export const stepConcurrencyMax = 8;
/** Longest message of one task log entry, in characters. */
export const taskLogMessageCharsMax = 4_096;
/** Most entries answered for one task log request without a limit. */
export const taskLogEntriesMax = 10_000;
/** Host-side validation of one request, over all hosts. */
export const hostValidationTimeoutMs = 30_000;
/** Tries of allocating a random port on one host. */
export const portAllocationAttemptsMax = 20;
/** How often a keeper reports when nothing changes. */
export const instanceReportIntervalMs = 5_000;
/** A report older than this makes the instance's state unknown. */
export const instanceReportStaleMs = 10_000;
/** How often a host reports its status. */
export const hostReportIntervalMs = 15_000;
/** A host report older than this makes the host unreachable. */
export const hostReportStaleMs = 30_000;
/** Longest request to the store, in bytes. */
export const storeRequestBytesMax = 16 * 1024 * 1024;
/** Longest answer of the store, in bytes. */
export const storeResponseBytesMax = 64 * 1024 * 1024;
/** How often the change version of the store is looked at by one who waits. */
export const changePollMs = 250;
/** The same by those who can wait; they share their looks. */
export const newsPollMs = 1_000;
/** How long operation ids are remembered; far longer than any request is repeated. */
export const operationsLogKeptMs = 6 * 3_600_000;
/** How often an event stream says that it is still there. */
export const eventStreamHeartbeatMs = 15_000;
/** A connection on which nothing happens is closed after this; event streams are exempt. */
export const httpIdleTimeoutSeconds = 240;
/** Longest Idempotency-Key and X-Request-Id that are accepted, in characters. */
export const requestKeyCharsMax = 128;
/** Longest configuration file, in bytes. */
export const configFileBytesMax = 1024 * 1024;
/** A worker at work that did not renew its lease for this long may be followed by another host. */
export const workerLeaseTtlMs = 5_000;
/** How often it renews it. */
export const workerLeaseRenewMs = 1_000;
/** How long before the end it stops. */
export const workerLeaseMarginMs = 1_500;
/** How often a contender looks at it. */
export const workerLeasePollMs = 1_000;
/** Tasks that nobody begins for this long are begun by a host that does not lead the store. */
export const workerAbsentMs = 8_000;
/** How often the holder looks whether its host still leads the store. */
export const workerLeadershipPollMs = 1_000;
/** Giving the lease back. */
export const workerReleaseTimeoutMs = 2_000;
/** Most tasks that run at once; each on another database. */
export const taskConcurrencyMax = 64;
/** How often the worker looks for tasks although nothing told it to. */
export const taskSweepIntervalMs = 1_000;
/** The same while there are none and the store does not change. */
export const taskSweepIdleMs = 5_000;
/** Shortest time between two looks for tasks. */
export const taskSweepGapMs = 20;
/** Tries of a step that fails in a way that may pass. */
export const stepAttemptsMax = 3;
/** How long a step may take to end after its signal aborted; then it counts as ended. */
export const stepAbortGraceMs = 10_000;
/** How soon a waiting step looks again at first, and how often later. */
export const stepPollFirstMs = 4;
export const stepPollMs = 20;
/** Longest time from a task log entry's making to its being readable. */
export const taskLogFlushMs = 100;
/** Most task log entries of one task that wait for the store; more drop the oldest. */
export const taskLogPendingMax = 2_000;
/** How long an instance may report the same error before its step gives up. */
export const instanceErrorSettleMs = 10_000;
/** How long a keeper gets to stop PostgreSQL before it is removed anyway. */
export const instanceStopTimeoutMs = 60_000;
/** How often certificates are looked at for rotation. */
export const certificateCheckIntervalMs = 3_600_000;
/** How long answers to requests with an Idempotency-Key are remembered. */
export const idempotencyKeptMs = 24 * 3_600_000;
/** How long answered keeper requests are kept. */
export const keeperRequestsKeptMs = 24 * 3_600_000;
/** How often old rows are removed from the store. */
export const pruneIntervalMs = 600_000;
/** Time between asking a command to end (SIGTERM) and ending it (SIGKILL). */
export const commandKillGraceMs = 5_000;
/** How long output is still read after a command ended, when something it started keeps the pipe open. */
export const commandDrainMs = 250;
/** Default bound of a file read from a host, in bytes. */
export const hostFileBytesMax = 1024 * 1024;
/** Removing one directory tree. */
export const removeTreeTimeoutMs = 300_000;
/** From the start of rqlited until it is ready; it replays its log first. */
export const rqlitedStartTimeoutMs = 60_000;
/** How long an rqlited that was left running may take to answer before it is replaced. */
export const rqlitedAdoptTimeoutMs = 3_000;
/** From SIGTERM to SIGKILL. */
export const rqlitedStopTimeoutMs = 5_000;
/** Largest log file of rqlited, in bytes; one older one of the same size is kept. */
export const rqlitedLogBytesMax = 10 * 1024 * 1024;
/** How often the log file of rqlited is looked at. */
export const rqlitedLogCheckMs = 30_000;
/** How long after its start a keeper has ordinary priority: the keepers of a host may start together. */
export const realtimeAfterStartMs = 2_000;
/** How often programs that run at real-time priority give it to the threads that they started since. */
export const realtimeCheckMs = 1_000;
/** Expected time without writes while PostgreSQL restarts with a warm cache: stop, start, ready. A reload has none. */
export const restartWriteGapMs = 1_500;
/** Expected time without writes while another instance becomes primary in order. */
export const switchoverWriteGapMs = 300;
/** How long keepers may work on a change of primary; less than its step may take. */
export const handoverTimeoutMs = 240_000;
/** A change of primary whose time came this long ago is not made any more. */
export const handoverLateMsMax = 600_000;
/** Longest pause of a node, and the one that is taken when nothing is said; seconds. */
export const pauseSecondsMax = 7 * 86_400;
export const pauseSecondsDefault = 3_600;
/** How long a pause waits for the word of every instance, and how often it looks. */
export const pauseConfirmMs = 5_000;
export const pauseLookMs = 100;
/** How long what users asked of keepers is remembered after it ended. */
export const intentsKeptMs = 30 * 86_400_000;
/** Time limit of a step in which a standby may copy all data of its primary. */
export const copyStepTimeoutMs = 24 * 3_600_000;
/** How long a standby may report the same error before its step gives up; its primary may be changing meanwhile. */
export const standbyErrorSettleMs = 60_000;
/** Time limit of a step that only touches files. */
export const fileStepTimeoutMs = 60_000;
/** Time limit of a step that runs a user's script. */
export const scriptStepTimeoutMs = 3_600_000;
/** How often a keeper looks for changes while there is work, or shortly after its start. */
export const keeperBusyPollMs = 20;
/** How often a keeper looks while its group is changing and others act. */
export const keeperHotPollMs = 100;
/** How often a keeper looks for changes otherwise. */
export const keeperIdlePollMs = 500;
/** How long after its start a keeper counts as busy. */
export const keeperBusyAfterStartMs = 10_000;
/** How often a keeper asks its PostgreSQL how it is while there is nothing to do. */
export const keeperProbeIntervalMs = 1_000;
/** How often a keeper compares files on disk with what they should be. */
export const keeperFileCheckIntervalMs = 5_000;
/** An answer of PostgreSQL older than this no longer proves that it runs. */
export const postgresStatusFreshMs = 5_000;
/** One statement of the keeper, from sending to its last row. */
export const sqlDeadlineMs = 5_000;
/** Opening one session with PostgreSQL. */
export const sqlConnectTimeoutMs = 2_000;
/** One request that a step asks of a keeper, scripts included. */
export const keeperRequestTimeoutMs = 270_000;
/** initdb, with writing everything to disk. */
export const initdbTimeoutMs = 120_000;
/** Letting a starting postmaster read a configuration file for its errors. */
export const configCheckTimeoutMs = 10_000;
/** From the request to reload to the session having reloaded. */
export const reloadTimeoutMs = 5_000;
/** A fast shutdown; whatever remains then is killed. */
export const postgresStopTimeoutMs = 45_000;
/** The checkpoint ahead of a shutdown, which then has little left to write. */
export const checkpointTimeoutMs = 20_000;
/** First and longest wait before a PostgreSQL that ended by itself is started again. */
export const crashBackoffFirstMs = 500;
export const crashBackoffMaxMs = 30_000;
/** A PostgreSQL that ran this long has got over its crashes. */
export const crashForgottenAfterMs = 60_000;
/** How often certificate files are looked at. */
export const certificateFilesCheckMs = 5_000;
/** What is read of the end of a log file to explain a failure, in bytes. */
export const logTailBytesMax = 16 * 1024;
/** How long after a worker's start its duties beside tasks begin. */
export const workerDutyDelayMs = 60_000;
/** How often a keeper looks whether a starting PostgreSQL accepts connections. */
export const keeperStartingPollMs = 10;
/** How long a restart waits for PostgreSQL to accept connections before it reports that it does not yet. */
export const restartTimeoutMs = 60_000;
/** Longest log file of a keeper or fencer where no service manager keeps logs, in bytes; one older copy is kept. */
export const detachedLogBytesMax = 16 * 1024 * 1024;
/** How often living keepers and fencers are looked at where no service manager does it. */
export const superviseIntervalMs = 250;
/** How often their logs and unit files are looked at. */
export const superviseUpkeepIntervalMs = 30_000;
/** First and longest wait before a keeper or fencer that died is started again. */
export const superviseBackoffFirstMs = 100;
export const superviseBackoffMaxMs = 10_000;
/** One that lived this long has got over its deaths. */
export const superviseForgottenAfterMs = 30_000;
/** Time a keeper or fencer has to end by itself. */
export const agentStopGraceMs = 10_000;
/** Time to end every process of an instance for its removal. */
export const instanceKillTimeoutMs = 30_000;
/** A clean stop of PostgreSQL when its unit is stopped, as at a shutdown of the machine. */
export const unitStopTimeoutS = 300;
/** One call of the service manager. */
export const serviceManagerTimeoutMs = 90_000;
/** Longest path of a unix socket, in bytes; sockaddr_un has room for 107. */
export const socketPathBytesMax = 100;
/** Iterations of a SCRAM-SHA-256 verifier that we make; PostgreSQL's own default (manual 20.5). */
export const scramIterations = 4_096;
/** One look of a driver at the keepers of one host before a plan is made. */
export const hostObservationTimeoutMs = 5_000;
/** Tries of an operation that lost against concurrent changes. */
export const operationTriesMax = 5;
/** Entries that a follower of a task log reads at once. */
export const taskLogFollowBatch = 500;
/** How often a follower of a task log looks for changes made by other servers. */
export const taskLogFollowPollMs = 100;
/** Looking at all components of a host, for its status. */
export const hostComponentTimeoutMs = 5_000;
/** How often a host looks whether PostgreSQL versions were installed or removed. */
export const installationsCheckMs = 5_000;
/** A file system with less than this part free is not healthy. */
export const diskFreePartMin = 0.05;
/** A wall clock that moved against the monotonic one by more than this has jumped. */
export const clockJumpMsMax = 1_000;
/** A difference of wall clocks smaller than this may be a fault of measuring it. */
export const clusterClockNoiseMs = 1_000;
/** A report that is older than the newest by less than this was overtaken; by more, its clock was put back. */
export const reportOvertakenMsMax = 30_000;
/** A wall clock that differs by more than this from the leader's is wrong. */
export const clockDifferenceMsMax = 5_000;
/** A host certificate with less than this part of its time left should have been renewed long ago. */
export const certificateLeftPartMin = 0.2;
/** How often a server looks which keepers its host has. */
export const keeperListIntervalMs = 2_000;
/** One request to another host that only looks, or changes little. */
export const peerRequestTimeoutMs = 10_000;
/** Writing one file on another host. */
export const peerPutTimeoutMs = 60_000;
/** How often a command on another host shows that the connection lives. */
export const peerBeatMs = 2_000;
/** How long a task asks a host again that takes no connections; less than the silence that ends a connection. */
export const peerPatienceMs = 6_000;
/** A connection to another host on which nothing came for this long is lost. */
export const peerSilenceMs = 8_000;
/** How long a host that was in the list of hosts may ask without another look. */
export const peerAdmissionKeptMs = 3_000;
/** Longest request of one host to another, in bytes: one file, or the input of a command. */
export const peerRequestBytesMax = 64 * 1024 * 1024;
/** Most output lines of a command that wait for a slow caller, in bytes; more are left out. */
export const peerLinesWaitingBytesMax = 4 * 1024 * 1024;
/** Commands that other hosts may run here at once. */
export const peerCommandsMax = 256;
/** How often certificate files of the host are looked at. */
export const peerCredentialsCheckMs = 2_000;
/** Databases whose newest plan a host remembers; the oldest are forgotten. */
export const planFencesMax = 10_000;
/** From resolving the name of an SSH host to being authenticated. */
export const sshConnectTimeoutMs = 15_000;
/** How often an idle SSH connection is asked for a sign of life, and how many may be missing. */
export const sshKeepaliveIntervalMs = 5_000;
export const sshKeepaliveMissesMax = 3;
/** Most commands at once on one SSH connection; sshd allows 10 sessions, SFTP is one of them. */
export const sshChannelsMax = 8;
/** Tries of opening a session that sshd refuses, and the first wait between them; it doubles. */
export const sshSessionTriesMax = 5;
export const sshSessionRetryFirstMs = 20;
/** An SSH connection that nobody used for this long is closed. */
export const sshIdleCloseMs = 60_000;
/** How much later than here a command's time limit ends it on the SSH host itself. */
export const sshRemoteLimitMarginMs = 5_000;
/** How long the end of an ended command is waited for, beyond the grace it has. */
export const sshEndConfirmMs = 2_000;
/** How long output may still come after a command ended on an SSH host. */
export const sshDrainMs = 30_000;
/** One transfer of a file, or one question about one, over SSH. */
export const sshFileTimeoutMs = 300_000;
/** How long the numbers of users of an SSH host are remembered. */
export const sshAccountsKeptMs = 60_000;
/** Most bytes of what a login shell prints by itself that are looked through. */
export const sshPreambleBytesMax = 65_536;
/** Validity of the certificate that hosts know each other by. */
export const hostCertificateValidMs = 30 * 86_400_000;
/** How often a host looks whether its certificate is due, and whether the cluster wants it replaced. */
export const hostCertificateCheckMs = 10_000;
/** One question to one node about the nodes of the store. */
export const storeNodesTimeoutMs = 5_000;
/** How long a member that joined with a vote waits for the others to say so, and how often it asks. */
export const storeVoteTimeoutMs = 3_000;
export const storeVotePollMs = 50;
/** How often a host asks whether its vote in the store counts. */
export const voteCheckMs = 10_000;
/** How long members that cannot let anybody in just now are asked again. */
export const joinPatienceMs = 30_000;
/** How often the file that tells this host's keepers who the members are is put right. */
export const membersCheckMs = 2_000;
/** How often a host looks who the members are while its copy of the store has no news. */
export const membersQuietMs = 10_000;
/** One request of a joining host to one member. */
export const joinRequestTimeoutMs = 15_000;
/** How long members of the store bear the silence of its leader; a new one is there after about twice this time. */
export const storeLeaderTimeoutMs = 500;
/**
 * Without a leader for this long, requests to the store fail instead of waiting for one. An election takes 1 to
 * 1.5 seconds; a client is told within 2.
 */
export const storeLeaderlessMs = 1_300;
/** With less than this free on its file system, rqlited soon fails for want of space. */
export const storeFreeBytesMin = 1024 * 1024;
/** How long linearizable reads are passed on by other nodes after the leader was not reached. */
export const storePassOnMs = 5_000;
/** A client of the store that left its preferred node goes back to it after this. */
export const storeReturnMs = 30_000;
/** Asking the own node of the store whether it leads. */
export const storeLeadershipTimeoutMs = 1_000;
/** Looking at a machine before it becomes a host. */
export const hostPreflightTimeoutMs = 60_000;
/** One try of a machine to reach another. */
export const hostReachTimeoutMs = 5_000;
/** One piece of work of the program on a host without a server with the keepers there. */
export const distantKeepersTimeoutMs = 60_000;
/** How often the leader looks at a host without a server. */
export const hostCareIntervalMs = 7_000;
/** One look at such a host; a frozen one holds up nobody but itself. */
export const hostCareTimeoutMs = 20_000;
/** Looking at the components of such a host: every question has to travel. */
export const distantComponentTimeoutMs = 15_000;
/** How often its size and installations are asked for. */
export const hostFactsIntervalMs = 60_000;
/** Putting the program on a host. */
export const hostUploadTimeoutMs = 600_000;
/** Making a machine a host, all of it. */
export const hostPreparationTimeoutMs = 900_000;
/** Removing everything from a host. */
export const hostCleaningTimeoutMs = 600_000;
/** Least free space of a machine that becomes a host, in bytes: two versions of the program and some room. */
export const hostFreeBytesMin = 512 * 1024 * 1024;
/** From the start of a server on a new member until it is in the list of hosts, healthy. */
export const hostJoinTimeoutMs = 180_000;
/** How long the token lives with which an installed server joins. */
export const hostJoinTokenMs = 900_000;
/** Clocks of two hosts further apart than this are refused. */
export const hostClockDifferenceMsMax = 2_000;
/** How often the removal of a host looks whether its databases have left. */
export const hostRemovalPollMs = 250;
/** One question about who leads, or whether the cluster went on without this host. */
export const leftBehindTimeoutMs = 2_000;
/** Writing down a recovery once this host is the only member. */
export const recoveryCommitTimeoutMs = 30_000;
/** How often a host looks whether the passwords of the store are to be replaced, and without a change in the store. */
export const storeUsersCheckMs = 1_000;
export const storeUsersQuietMs = 10_000;
/** How long a removed host that runs has to notice it before the passwords of the store are replaced. */
export const storeUsersGraceMs = 3_000;
/** How long passwords that the store refuses are tried again: they are replaced on all hosts at once. */
export const storeAuthPatienceMs = 3_000;
/** How long a host waits for others to tell it new passwords before it asks for them, or lets nobody in. */
export const storeUsersSettleMs = 10_000;
/** Telling one host new passwords, with the restart of its rqlited. */
export const storeUsersTellMs = 60_000;
/** How often a host asks the others whether the cluster went on without it. */
export const leftBehindCheckMs = 5_000;
/** Largest backup of the store that is restored, in bytes. */
export const storeBackupBytesMax = 256 * 1024 * 1024;
/** Taking or restoring a backup of the store. */
export const storeBackupTimeoutMs = 120_000;
/** How often the keepers of a host write together to the store. */
export const relayIntervalMs = 1_000;
/** How long the first write after a pause waits for others. */
export const relayGatherMs = 15;
/** A keeper that got no answer from the relay within this writes by itself. */
export const relayAnswerTimeoutMs = 2_500;
/** How long a relay that hung is not used. */
export const relayAvoidedMs = 10_000;
/** Pause before the relay is looked for again. */
export const relayRetryMs = 100;
/** Most writes that wait at a relay. */
export const relayWaitingMax = 4_096;
/** Longest request that a relay makes of several writes, in bytes. */
export const relayBatchBytesMax = 1024 * 1024;
/** Most keepers that one relay serves. */
export const relayConnectionsMax = 1_024;
/** A keeper that does not read its answers is disconnected at this many bytes. */
export const relayUnsentBytesMax = 1024 * 1024;
/** Between two tries of a guarded write whose fate is not known. */
export const casPauseMs = 30;
/** One request of a keeper about its group to the store, when a user waits for it. */
export const haStoreTimeoutMs = 5_000;
/** How often a request that waits for a change of the primary looks. */
export const haRestPollMs = 100;
/** Copying a whole PostgreSQL from another member. Ended much earlier when it makes no progress. */
export const cloneTimeoutMs = 48 * 3_600_000;
/** A copy or a rewind that says nothing for so long is given up; a checkpoint of the other side comes first. */
export const cloneStallMs = 600_000;
/** A copy that a killed keeper left complete is used if it is not older. */
export const cloneResumeMs = 3_600_000;
/** Data that was replaced and is kept aside: copies of one instance at most. */
export const keptDataMax = 2;

/** How often, and how far apart, a keeper tries to remove what an earlier one left half made. */
export const leftoverAttemptsMax = 20;
export const leftoverPauseMs = 1_000;
/** Log segments kept of what a rewind takes away, in bytes. */
export const keptLogBytesMax = 2 * 1024 * 1024 * 1024;
/** pg_rewind, with its dry run. */
export const rewindTimeoutMs = 12 * 3_600_000;
/** Crash recovery of one PostgreSQL without clients. */
export const recoverAloneTimeoutMs = 3_600_000;
/** Ending programs that a killed keeper left running. */
export const strayKillTimeoutMs = 10_000;
/** From clearing the upstream to the receiver being gone. */
export const letGoTimeoutMs = 10_000;
/** How old what a promotion goes by may be: it is looked up while the lease is being taken. */
export const surveyFreshMs = 1_000;
/** How often a promotion is looked at. */
export const promotePollMs = 5;
/** The checkpoint after a promotion. */
export const promotedCheckpointTimeoutMs = 1_800_000;
/** Bytes of log that are compared to prove that two servers have the same history. */
export const logTailBytes = 16 * 1024;
/** Longest history file of a timeline, in bytes. */
export const historyFileBytesMax = 1024 * 1024;
/** One look at a health probe's file: write and fsync. */
export const diskProbeTimeoutMs = 5_000;
/** A fencer that said nothing to its service manager for this long is replaced; well below the guard of a lease. */
export const fencerWatchdogMs = 1_000;
/** How often a keeper of a group looks after the postmaster, and how soon again when that gave no new connection. */
export const freshProbeIntervalMs = 2_000;
export const freshProbeAgainMs = 500;
/** For how long it is enough that it gave one and is not stopped: a new process of PostgreSQL costs 5 ms of CPU time. */
export const freshProbeBelievedMs = 3_500;
/** How long a new connection may take to get a first answer. */
export const freshProbeTimeoutMs = 2_000;
/** How long a holder that gives its lease back leaves it to its successor before it writes so, and how often it looks. */
export const offerMs = 200;
export const offerPollMs = 10;
/** How long the word of a holder that gives its lease back counts while the store does not show it. */
export const announcedMs = 2_000;
/** How often a keeper of a group asks its PostgreSQL where it stands while nothing happens. */
export const groupProbeIntervalMs = 1_000;
/** How often the volume of the data is looked at. */
export const diskCheckIntervalMs = 5_000;
/** With less room than this PostgreSQL is about to stop for want of it: two segments of its log. */
export const diskFullBytes = 32 * 1024 * 1024;
/** A small write that takes longer than this hangs. */
export const diskStallMs = 5_000;
/** How often the keeper looks whether its deadline has passed: when it is near, and when it is far. */
export const deadlineLookMs = 50;
export const deadlineLookMsMax = 250;
/** A fencer that says nothing for this long is not counted on. */
export const fencerSilentMs = 1_000;
/** How old a signed message between members may be, by two wall clocks. */
export const peerMessageAgeMsMax = 300_000;
/** Most messages that are remembered against repetition. */
export const peerNoncesMax = 10_000;
/** A member that was asked where it stands. */
export const peerTimeoutMs = 1_000;
/** A member that was asked whether a primary may go on without the store. */
export const failsafeTimeoutMs = 1_500;
/** How often a member of a group says of itself that it is there, at most. */
export const memberBeatMs = 2_000;
/** How often the slots of the members are looked after while nothing changes. */
export const slotCheckIntervalMs = 10_000;
/** How long making a logical slot may wait for transactions that run, beside other work. */
export const logicalSlotBesideMs = 10_000;
/** The same on a standby, which waits until the primary writes down which transactions run; also for moving it. */
export const logicalSlotStandbyMs = 30_000;
/** The same, where a step waits for it; tried again until the step's time is over. */
export const logicalSlotAskedMs = 60_000;
/** Slots that a report holds at most. */
export const reportedSlotsMax = 128;
/** How long failed promotions and crashes of an instance count. */
export const attemptsCountMs = 600_000;
/** First and longest pause before data that could not be joined again is tried anew. */
export const rejoinPauseMs = 300;
export const rejoinPauseMaxMs = 60_000;
/** A promotion that replays nothing for this long is given up. */
export const promoteStallMs = 25_000;
/** A standby that receives nothing for so long asks its upstream why. */
export const followSilentMs = 3_000;
/** How long data that went its own way waits for the store to know where; then it is copied anew. */
export const followDivergedMs = 20_000;
/** How often it asks. */
export const followCheckIntervalMs = 1_000;
/** How long logical decoding goes on waiting for a standby that stopped streaming. */
export const decodingGraceMs = 2_000;
/** How long a keeper may take to give its lease away when the host goes down. */
export const leaveTimeoutMs = 25_000;
/** How long a rewind waits for the first checkpoint of the primary, and how often it asks. */
export const rewindReadyTimeoutMs = 15_000;
export const rewindReadyPollMs = 200;
/** How long after the end of a promise a member looks at everything in every cycle. */
export const hotMs = 15_000;
/** How often the lease is read: ordinarily, while the node changes its primary, and once a renewal or two are missing. */
export const leaseLookMs = 500;
export const leaseLookHotMs = 100;
export const leaseLookLateMs = 250;
/** How often its holder reads it, while it does not hear by the host's copy of the store that there is news. */
export const leaseLookOwnMs = 1_000;
/** How often it is read at least, by a keeper that does. */
export const leaseLookQuietMs = 5_000;
/** How old the last glance at that copy may be. */
export const leaseGlanceFreshMs = 1_000;
/** How late a renewal is overdue: those of a host are written together, once a second. */
export const leaseOverdueMs = 2_000;
/** How often the newest version of a lease that was seen is written down within one epoch. */
export const newestKeptIntervalMs = 30_000;
/** How often a keeper looks whether its server replaced the password, the certificate or the list of the store. */
export const storeFilesCheckMs = 500;
