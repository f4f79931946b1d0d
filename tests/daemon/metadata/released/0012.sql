BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0012');
CREATE TABLE answer (
	owner VARCHAR(64) NOT NULL, 
	"key" VARCHAR(128) NOT NULL, 
	request VARCHAR(64) NOT NULL, 
	body TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	CONSTRAINT pk_answer PRIMARY KEY (owner, "key")
);
CREATE TABLE bisection (
	position INTEGER NOT NULL, 
	pipeline VARCHAR(128) NOT NULL, 
	command TEXT NOT NULL, 
	script VARCHAR(71), 
	good INTEGER NOT NULL, 
	bad INTEGER NOT NULL, 
	last_good INTEGER NOT NULL, 
	first_bad INTEGER NOT NULL, 
	op_id INTEGER NOT NULL, 
	version_id INTEGER, 
	skipped TEXT NOT NULL, 
	runs TEXT NOT NULL, 
	last_good_versions TEXT NOT NULL, 
	CONSTRAINT pk_bisection PRIMARY KEY (position), 
	CONSTRAINT ck_bisection_in_order CHECK (good <= last_good AND last_good < first_bad AND first_bad <= bad), 
	CONSTRAINT fk_bisection_position FOREIGN KEY(position) REFERENCES journal (position), 
	CONSTRAINT fk_bisection_good FOREIGN KEY(good) REFERENCES journal (position), 
	CONSTRAINT fk_bisection_bad FOREIGN KEY(bad) REFERENCES journal (position), 
	CONSTRAINT fk_bisection_last_good FOREIGN KEY(last_good) REFERENCES journal (position), 
	CONSTRAINT fk_bisection_first_bad FOREIGN KEY(first_bad) REFERENCES journal (position), 
	CONSTRAINT fk_bisection_op_id FOREIGN KEY(op_id) REFERENCES op (id), 
	CONSTRAINT fk_bisection_version_id FOREIGN KEY(version_id) REFERENCES version (id)
);
INSERT INTO "bisection" VALUES(28,'churn','["python", "eval.py"]',NULL,3,4,3,4,1,3,'[]','[25, 27]','[["pca", "1.0.0"], ["forest", "1.0.0"]]');
CREATE TABLE counter (
	id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	at BIGINT DEFAULT '0' NOT NULL, 
	oldest_schema VARCHAR(32) DEFAULT '0012' NOT NULL, 
	CONSTRAINT pk_counter PRIMARY KEY (id), 
	CONSTRAINT ck_counter_one CHECK (id = 1)
);
INSERT INTO "counter" VALUES(1,28,1767250800000002,'0012');
CREATE TABLE damaged_blob (
	digest VARCHAR(71) NOT NULL, 
	problem TEXT NOT NULL, 
	found_at BIGINT NOT NULL, 
	CONSTRAINT pk_damaged_blob PRIMARY KEY (digest)
);
CREATE TABLE description (
	position INTEGER NOT NULL, 
	op_id INTEGER NOT NULL, 
	text TEXT NOT NULL, 
	until INTEGER, 
	CONSTRAINT pk_description PRIMARY KEY (position), 
	CONSTRAINT ck_description_until CHECK (until > position), 
	CONSTRAINT fk_description_position FOREIGN KEY(position) REFERENCES journal (position), 
	CONSTRAINT fk_description_op_id FOREIGN KEY(op_id) REFERENCES op (id), 
	CONSTRAINT fk_description_until FOREIGN KEY(until) REFERENCES journal (position)
);
INSERT INTO "description" VALUES(22,1,'Reduces the features',NULL);
CREATE TABLE journal (
	position INTEGER NOT NULL, 
	at BIGINT NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	author VARCHAR(200), 
	op_id INTEGER, 
	CONSTRAINT pk_journal PRIMARY KEY (position), 
	CONSTRAINT ck_journal_kind CHECK (kind IN ('version', 'link', 'level', 'tag', 'yank', 'pipeline', 'run', 'bisection', 'removal')), 
	CONSTRAINT fk_journal_op_id FOREIGN KEY(op_id) REFERENCES op (id)
);
INSERT INTO "journal" VALUES(1,1767229200000000,'version','ann@laptop',1);
INSERT INTO "journal" VALUES(2,1767229200000001,'version','ann@laptop',2);
INSERT INTO "journal" VALUES(3,1767229200000001,'link','ann@laptop',NULL);
INSERT INTO "journal" VALUES(4,1767232800000000,'version','ann@laptop',1);
INSERT INTO "journal" VALUES(5,1767232800000000,'link','ann@laptop',NULL);
INSERT INTO "journal" VALUES(6,1767232800000000,'tag','ann@laptop',NULL);
INSERT INTO "journal" VALUES(7,1767232800000001,'version','ann@laptop',3);
INSERT INTO "journal" VALUES(8,1767236400000000,'link','ann@laptop',NULL);
INSERT INTO "journal" VALUES(9,1767236400000001,'link','ann@laptop',NULL);
INSERT INTO "journal" VALUES(10,1767236400000002,'link','ann@laptop',NULL);
INSERT INTO "journal" VALUES(11,1767236400000003,'link','ann@laptop',NULL);
INSERT INTO "journal" VALUES(12,1767240000000000,'tag','ann@laptop',NULL);
INSERT INTO "journal" VALUES(13,1767240000000001,'tag','ann@laptop',NULL);
INSERT INTO "journal" VALUES(14,1767240000000002,'tag','ann@laptop',NULL);
INSERT INTO "journal" VALUES(15,1767243600000000,'yank','ann@laptop',1);
INSERT INTO "journal" VALUES(16,1767243600000001,'yank','ann@laptop',2);
INSERT INTO "journal" VALUES(17,1767243600000002,'yank','ann@laptop',2);
INSERT INTO "journal" VALUES(18,1767243600000003,'pipeline','ann@laptop',NULL);
INSERT INTO "journal" VALUES(19,1767243600000004,'pipeline','ann@laptop',NULL);
INSERT INTO "journal" VALUES(20,1767243600000005,'pipeline','ann@laptop',NULL);
INSERT INTO "journal" VALUES(21,1767247200000000,'level','ann@laptop',1);
INSERT INTO "journal" VALUES(22,1767247200000000,'level','ann@laptop',1);
INSERT INTO "journal" VALUES(23,1767247200000001,'version','ann@laptop',1);
INSERT INTO "journal" VALUES(24,1767247200000002,'version','ann@laptop',2);
INSERT INTO "journal" VALUES(25,1767250800000000,'run','ann@laptop',NULL);
INSERT INTO "journal" VALUES(26,1767250800000000,'link','ann@laptop',NULL);
INSERT INTO "journal" VALUES(27,1767250800000001,'run','ann@laptop',NULL);
INSERT INTO "journal" VALUES(28,1767250800000002,'bisection','ann@laptop',1);
CREATE TABLE label (
	version_id INTEGER NOT NULL, 
	"key" VARCHAR(128) NOT NULL, 
	position INTEGER NOT NULL, 
	value TEXT NOT NULL, 
	until INTEGER, 
	CONSTRAINT pk_label PRIMARY KEY (version_id, "key", position), 
	CONSTRAINT ck_label_until CHECK (until > position), 
	CONSTRAINT fk_label_version_id FOREIGN KEY(version_id) REFERENCES version (id), 
	CONSTRAINT fk_label_position FOREIGN KEY(position) REFERENCES journal (position), 
	CONSTRAINT fk_label_until FOREIGN KEY(until) REFERENCES journal (position)
);
INSERT INTO "label" VALUES(1,'data',1,'january',23);
INSERT INTO "label" VALUES(1,'by',23,'ann',NULL);
INSERT INTO "label" VALUES(5,'kind',24,'script',NULL);
CREATE TABLE level (
	position INTEGER NOT NULL, 
	op_id INTEGER NOT NULL, 
	compat VARCHAR(8) NOT NULL, 
	CONSTRAINT pk_level PRIMARY KEY (position), 
	CONSTRAINT ck_level_compat CHECK (compat IN ('major', 'minor', 'exact')), 
	CONSTRAINT fk_level_position FOREIGN KEY(position) REFERENCES journal (position), 
	CONSTRAINT fk_level_op_id FOREIGN KEY(op_id) REFERENCES op (id)
);
INSERT INTO "level" VALUES(21,1,'minor');
CREATE TABLE link (
	position INTEGER NOT NULL, 
	upstream_id INTEGER NOT NULL, 
	upstream_version_id INTEGER NOT NULL, 
	upstream_major INTEGER NOT NULL, 
	upstream_minor INTEGER NOT NULL, 
	downstream_id INTEGER NOT NULL, 
	downstream_version_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	evidence TEXT, 
	until INTEGER, 
	run_position INTEGER, 
	CONSTRAINT pk_link PRIMARY KEY (position), 
	CONSTRAINT ck_link_state CHECK (state IN ('valid', 'invalid', 'revoked')), 
	CONSTRAINT ck_link_two_ops CHECK (upstream_id <> downstream_id), 
	CONSTRAINT ck_link_until CHECK (until > position), 
	CONSTRAINT fk_link_position FOREIGN KEY(position) REFERENCES journal (position), 
	CONSTRAINT fk_link_upstream_id FOREIGN KEY(upstream_id) REFERENCES op (id), 
	CONSTRAINT fk_link_upstream_version_id FOREIGN KEY(upstream_version_id) REFERENCES version (id), 
	CONSTRAINT fk_link_downstream_id FOREIGN KEY(downstream_id) REFERENCES op (id), 
	CONSTRAINT fk_link_downstream_version_id FOREIGN KEY(downstream_version_id) REFERENCES version (id), 
	CONSTRAINT fk_link_until FOREIGN KEY(until) REFERENCES journal (position), 
	CONSTRAINT fk_link_run_position FOREIGN KEY(run_position) REFERENCES run (position)
);
INSERT INTO "link" VALUES(3,1,1,1,0,2,2,'valid',NULL,26,NULL);
INSERT INTO "link" VALUES(5,1,3,1,1,2,NULL,'valid',NULL,9,NULL);
INSERT INTO "link" VALUES(8,3,4,1,0,2,NULL,'valid','notebook 7',NULL,NULL);
INSERT INTO "link" VALUES(9,1,3,1,1,2,NULL,'invalid','drifted',NULL,NULL);
INSERT INTO "link" VALUES(10,3,4,1,0,1,3,'valid',NULL,11,NULL);
INSERT INTO "link" VALUES(11,3,4,1,0,1,3,'revoked',NULL,NULL,NULL);
INSERT INTO "link" VALUES(26,1,1,1,0,2,2,'valid','run 25: python eval.py passed in 3.2 s, script sha256:1bbd174404ef',NULL,25);
CREATE TABLE message (
	position INTEGER NOT NULL, 
	version_id INTEGER NOT NULL, 
	text TEXT NOT NULL, 
	until INTEGER, 
	CONSTRAINT pk_message PRIMARY KEY (position), 
	CONSTRAINT ck_message_until CHECK (until > position), 
	CONSTRAINT fk_message_position FOREIGN KEY(position) REFERENCES journal (position), 
	CONSTRAINT fk_message_version_id FOREIGN KEY(version_id) REFERENCES version (id), 
	CONSTRAINT fk_message_until FOREIGN KEY(until) REFERENCES journal (position)
);
INSERT INTO "message" VALUES(23,1,'the first of January',NULL);
CREATE TABLE object (
	"key" VARCHAR(32) NOT NULL, 
	state VARCHAR(10) NOT NULL, 
	digest VARCHAR(71), 
	size BIGINT, 
	at BIGINT NOT NULL, 
	CONSTRAINT pk_object PRIMARY KEY ("key"), 
	CONSTRAINT ck_object_state CHECK (state IN ('draft', 'blob', 'trash', 'quarantine', 'deleting')), 
	CONSTRAINT ck_object_known CHECK (state = 'draft' OR state = 'deleting' OR (digest IS NOT NULL AND size IS NOT NULL))
);
CREATE TABLE object_draft (
	upload VARCHAR(32) NOT NULL, 
	"key" VARCHAR(32) NOT NULL, 
	multipart TEXT, 
	size BIGINT DEFAULT '0' NOT NULL, 
	tail_key VARCHAR(32), 
	tail_size BIGINT DEFAULT '0' NOT NULL, 
	fence BIGINT DEFAULT '0' NOT NULL, 
	sealed INTEGER DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_object_draft PRIMARY KEY (upload), 
	CONSTRAINT ck_object_draft_tail CHECK ((tail_key IS NULL) = (tail_size = 0)), 
	CONSTRAINT ck_object_draft_size CHECK (size >= tail_size AND tail_size >= 0), 
	CONSTRAINT uq_object_draft_key UNIQUE ("key"), 
	CONSTRAINT fk_object_draft_key FOREIGN KEY("key") REFERENCES object ("key"), 
	CONSTRAINT fk_object_draft_tail_key FOREIGN KEY(tail_key) REFERENCES object ("key")
);
CREATE TABLE object_part (
	upload VARCHAR(32) NOT NULL, 
	number INTEGER NOT NULL, 
	size BIGINT NOT NULL, 
	etag TEXT NOT NULL, 
	checksum TEXT NOT NULL, 
	CONSTRAINT pk_object_part PRIMARY KEY (upload, number), 
	CONSTRAINT ck_object_part_number CHECK (number BETWEEN 1 AND 10000), 
	CONSTRAINT ck_object_part_size CHECK (size >= 1), 
	CONSTRAINT fk_object_part_upload FOREIGN KEY(upload) REFERENCES object_draft (upload)
);
CREATE TABLE op (
	id INTEGER NOT NULL, 
	name VARCHAR(128) NOT NULL, 
	compat VARCHAR(8) DEFAULT 'major' NOT NULL, 
	last_sequence INTEGER DEFAULT '0' NOT NULL, 
	position INTEGER DEFAULT '0' NOT NULL, 
	changed INTEGER DEFAULT '0' NOT NULL, 
	created_compat VARCHAR(8) DEFAULT 'major' NOT NULL, 
	CONSTRAINT pk_op PRIMARY KEY (id), 
	CONSTRAINT ck_op_compat CHECK (compat IN ('major', 'minor', 'exact')), 
	CONSTRAINT ck_op_created_compat CHECK (created_compat IN ('major', 'minor', 'exact')), 
	CONSTRAINT ck_op_name CHECK (length(name) BETWEEN 1 AND 128), 
	CONSTRAINT uq_op_name UNIQUE (name)
);
INSERT INTO "op" VALUES(1,'pca','minor',2,1,27,'exact');
INSERT INTO "op" VALUES(2,'forest','exact',2,2,27,'exact');
INSERT INTO "op" VALUES(3,'knn','exact',1,7,11,'exact');
CREATE TABLE page_code (
	code VARCHAR(64) NOT NULL, 
	owner VARCHAR(64) NOT NULL, 
	expires_at BIGINT NOT NULL, 
	session VARCHAR(64), 
	CONSTRAINT pk_page_code PRIMARY KEY (code)
);
CREATE TABLE page_session (
	session VARCHAR(64) NOT NULL, 
	owner VARCHAR(64) NOT NULL, 
	expires_at BIGINT NOT NULL, 
	CONSTRAINT pk_page_session PRIMARY KEY (session)
);
CREATE TABLE pipeline (
	id INTEGER NOT NULL, 
	name VARCHAR(128) NOT NULL, 
	registered_at BIGINT NOT NULL, 
	position INTEGER NOT NULL, 
	until INTEGER, 
	CONSTRAINT pk_pipeline PRIMARY KEY (id), 
	CONSTRAINT ck_pipeline_until CHECK (until > position), 
	CONSTRAINT ck_pipeline_name CHECK (length(name) BETWEEN 1 AND 128), 
	CONSTRAINT fk_pipeline_position FOREIGN KEY(position) REFERENCES journal (position), 
	CONSTRAINT fk_pipeline_until FOREIGN KEY(until) REFERENCES journal (position)
);
INSERT INTO "pipeline" VALUES(1,'churn',1767243600000003,18,NULL);
INSERT INTO "pipeline" VALUES(2,'old',1767243600000004,19,20);
CREATE TABLE pipeline_edge (
	pipeline_id INTEGER NOT NULL, 
	upstream_id INTEGER NOT NULL, 
	downstream_id INTEGER NOT NULL, 
	CONSTRAINT pk_pipeline_edge PRIMARY KEY (pipeline_id, upstream_id, downstream_id), 
	CONSTRAINT ck_pipeline_edge_two_ops CHECK (upstream_id <> downstream_id), 
	CONSTRAINT fk_pipeline_edge_pipeline_id FOREIGN KEY(pipeline_id) REFERENCES pipeline (id), 
	CONSTRAINT fk_pipeline_edge_upstream_id FOREIGN KEY(upstream_id) REFERENCES op (id), 
	CONSTRAINT fk_pipeline_edge_downstream_id FOREIGN KEY(downstream_id) REFERENCES op (id)
);
INSERT INTO "pipeline_edge" VALUES(1,1,2);
INSERT INTO "pipeline_edge" VALUES(2,1,3);
CREATE TABLE pipeline_op (
	pipeline_id INTEGER NOT NULL, 
	op_id INTEGER NOT NULL, 
	place INTEGER NOT NULL, 
	CONSTRAINT pk_pipeline_op PRIMARY KEY (pipeline_id, op_id), 
	CONSTRAINT uq_pipeline_op_pipeline_id_place UNIQUE (pipeline_id, place), 
	CONSTRAINT fk_pipeline_op_pipeline_id FOREIGN KEY(pipeline_id) REFERENCES pipeline (id), 
	CONSTRAINT fk_pipeline_op_op_id FOREIGN KEY(op_id) REFERENCES op (id)
);
INSERT INTO "pipeline_op" VALUES(1,1,0);
INSERT INTO "pipeline_op" VALUES(1,2,1);
INSERT INTO "pipeline_op" VALUES(2,1,0);
INSERT INTO "pipeline_op" VALUES(2,3,1);
CREATE TABLE removal (
	position INTEGER NOT NULL, 
	op_id INTEGER NOT NULL, 
	until INTEGER, 
	version_id INTEGER, 
	reason TEXT, 
	CONSTRAINT pk_removal PRIMARY KEY (position), 
	CONSTRAINT ck_removal_until CHECK (until > position), 
	CONSTRAINT ck_removal_for_good CHECK (version_id IS NULL OR until IS NULL), 
	CONSTRAINT fk_removal_position FOREIGN KEY(position) REFERENCES journal (position), 
	CONSTRAINT fk_removal_op_id FOREIGN KEY(op_id) REFERENCES op (id), 
	CONSTRAINT fk_removal_until FOREIGN KEY(until) REFERENCES journal (position), 
	CONSTRAINT fk_removal_version_id FOREIGN KEY(version_id) REFERENCES version (id)
);
CREATE TABLE run (
	position INTEGER NOT NULL, 
	pipeline VARCHAR(128) NOT NULL, 
	set_digest VARCHAR(71) NOT NULL, 
	command TEXT NOT NULL, 
	command_digest VARCHAR(71) NOT NULL, 
	script VARCHAR(71), 
	script_path TEXT, 
	result VARCHAR(8) NOT NULL, 
	reason TEXT NOT NULL, 
	exit_code BIGINT, 
	duration BIGINT NOT NULL, 
	repeat INTEGER NOT NULL, 
	output_digest VARCHAR(71) NOT NULL, 
	output_size BIGINT NOT NULL, 
	git_commit VARCHAR(80), 
	ci_url TEXT, 
	output BLOB NOT NULL, 
	CONSTRAINT pk_run PRIMARY KEY (position), 
	CONSTRAINT ck_run_result CHECK (result IN ('passed', 'failed', 'unknown')), 
	CONSTRAINT fk_run_position FOREIGN KEY(position) REFERENCES journal (position)
);
INSERT INTO "run" VALUES(25,'churn','sha256:58f2ecff4fc22dbcad4d602392f65234595bff48e1879d7f081b22c1be2ae279','["python", "eval.py"]','sha256:10d6fa12c0bf45bd250dd1ed906064b4b832fc14a2054ef6f499d9fd794ddfac','sha256:1bbd174404efbce95f1af489ef93f4aa0f4d55718f24c3504682216afa7b7fb1','eval.py','passed','exit code 0',0,3250000,1,'sha256:0f7a4e9988d50573cced70a424e1e9b521c8ceda58dc4f635ac6b14a9e20b9cf',12,NULL,NULL,X'789C4BADC82C5148CE4F495530E002001CBF03D0');
INSERT INTO "run" VALUES(27,'churn','sha256:d5c7dc76ac474a3192949c5454cf7dc7defa1df0ad8a34fab790d8005dd0a01c','["python", "eval.py"]','sha256:10d6fa12c0bf45bd250dd1ed906064b4b832fc14a2054ef6f499d9fd794ddfac','sha256:1bbd174404efbce95f1af489ef93f4aa0f4d55718f24c3504682216afa7b7fb1','eval.py','failed','exit code 1',1,3250000,1,'sha256:4cbb5e406c938a7e41cb74480f2b731799fa5b0197777324d3cd3c733dc9d2d2',12,NULL,NULL,X'789C4BADC82C5148CE4F495530E402001CC103D1');
CREATE TABLE run_version (
	run_position INTEGER NOT NULL, 
	op_id INTEGER NOT NULL, 
	version_id INTEGER NOT NULL, 
	place INTEGER NOT NULL, 
	CONSTRAINT pk_run_version PRIMARY KEY (run_position, op_id), 
	CONSTRAINT uq_run_version_run_position_place UNIQUE (run_position, place), 
	CONSTRAINT fk_run_version_run_position FOREIGN KEY(run_position) REFERENCES run (position), 
	CONSTRAINT fk_run_version_op_id FOREIGN KEY(op_id) REFERENCES op (id), 
	CONSTRAINT fk_run_version_version_id FOREIGN KEY(version_id) REFERENCES version (id)
);
INSERT INTO "run_version" VALUES(25,1,1,0);
INSERT INTO "run_version" VALUES(25,2,2,1);
INSERT INTO "run_version" VALUES(27,1,3,0);
INSERT INTO "run_version" VALUES(27,2,2,1);
CREATE TABLE store (
	one INTEGER NOT NULL, 
	id VARCHAR(32) NOT NULL, 
	created_at BIGINT NOT NULL, 
	release VARCHAR(32), 
	collected_at BIGINT, 
	CONSTRAINT pk_store PRIMARY KEY (one), 
	CONSTRAINT ck_store_one CHECK (one = 1), 
	CONSTRAINT ck_store_id CHECK (length(id) = 32)
);
INSERT INTO "store" VALUES(1,'9e35a2d37dc3463bb65bf9fd0f6f7b26',1796061352006924,'0.1.0',NULL);
CREATE TABLE tag (
	position INTEGER NOT NULL, 
	op_id INTEGER NOT NULL, 
	name VARCHAR(128) NOT NULL, 
	version_id INTEGER, 
	until INTEGER, 
	CONSTRAINT pk_tag PRIMARY KEY (position, op_id, name), 
	CONSTRAINT ck_tag_until CHECK (until > position), 
	CONSTRAINT ck_tag_name CHECK (length(name) BETWEEN 1 AND 128), 
	CONSTRAINT fk_tag_position FOREIGN KEY(position) REFERENCES journal (position), 
	CONSTRAINT fk_tag_op_id FOREIGN KEY(op_id) REFERENCES op (id), 
	CONSTRAINT fk_tag_version_id FOREIGN KEY(version_id) REFERENCES version (id), 
	CONSTRAINT fk_tag_until FOREIGN KEY(until) REFERENCES journal (position)
);
INSERT INTO "tag" VALUES(6,1,'candidate',3,14);
INSERT INTO "tag" VALUES(12,1,'prod',1,13);
INSERT INTO "tag" VALUES(13,1,'prod',3,NULL);
INSERT INTO "tag" VALUES(14,1,'candidate',NULL,NULL);
CREATE TABLE upload (
	id VARCHAR(32) NOT NULL, 
	owner VARCHAR(64) NOT NULL, 
	size BIGINT, 
	touched_at BIGINT NOT NULL, 
	CONSTRAINT pk_upload PRIMARY KEY (id)
);
INSERT INTO "upload" VALUES('d978b9a07ff847b7b633aace7ced194b','local',8,1767250800000000);
CREATE TABLE version (
	id INTEGER NOT NULL, 
	op_id INTEGER NOT NULL, 
	sequence INTEGER NOT NULL, 
	major VARCHAR(64) NOT NULL, 
	minor VARCHAR(64) NOT NULL, 
	patch VARCHAR(64) NOT NULL, 
	major_number INTEGER NOT NULL, 
	minor_number INTEGER NOT NULL, 
	patch_number INTEGER NOT NULL, 
	digest VARCHAR(71), 
	size BIGINT, 
	position INTEGER NOT NULL, 
	stored_position INTEGER, 
	registered_at BIGINT NOT NULL, 
	message TEXT, 
	note TEXT, 
	stored_message TEXT, 
	format VARCHAR(64), 
	libraries TEXT, 
	sample VARCHAR(39), 
	filename TEXT, 
	executable INTEGER, 
	removed_position INTEGER, 
	CONSTRAINT pk_version PRIMARY KEY (id), 
	CONSTRAINT uq_version_op_id_sequence UNIQUE (op_id, sequence), 
	CONSTRAINT uq_version_op_id_major_minor_patch UNIQUE (op_id, major, minor, patch), 
	CONSTRAINT uq_version_op_id_major_number_minor_number_patch_number UNIQUE (op_id, major_number, minor_number, patch_number), 
	CONSTRAINT ck_version_sequence CHECK (sequence >= 1), 
	CONSTRAINT ck_version_number CHECK (major_number BETWEEN 1 AND 2147483647 AND minor_number BETWEEN 0 AND 2147483647 AND patch_number BETWEEN 0 AND 2147483647), 
	CONSTRAINT ck_version_stored_whole CHECK ((digest IS NULL) = (size IS NULL) AND (digest IS NULL) = (stored_position IS NULL)), 
	CONSTRAINT fk_version_op_id FOREIGN KEY(op_id) REFERENCES op (id), 
	CONSTRAINT uq_version_position UNIQUE (position), 
	CONSTRAINT fk_version_position FOREIGN KEY(position) REFERENCES journal (position), 
	CONSTRAINT uq_version_stored_position UNIQUE (stored_position), 
	CONSTRAINT fk_version_stored_position FOREIGN KEY(stored_position) REFERENCES journal (position), 
	CONSTRAINT fk_version_removed_position FOREIGN KEY(removed_position) REFERENCES journal (position)
);
INSERT INTO "version" VALUES(1,1,1,'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855','e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855','e1b3273e471d138c917baa58491626022bd0c0e0df22bfa9925124c6f701e628',1,0,0,'sha256:6abc3dd50b96a23b427cbde553424e8ae4c143930c3aa940c3f8370991523f72',7,1,1,1767229200000000,'the first',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "version" VALUES(2,2,1,'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855','e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855','0084fd9ec465a11c152362b2170733bbfac2d25d00f7f6b77b9c07ddf87e77ca',1,0,0,'sha256:250cfe6e82164f152912106468f2e3bb1ad03132aba85852ac2a3625d0533c10',10,2,2,1767229200000001,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "version" VALUES(3,1,2,'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855','c00d76240512ca8b2c551c6a5a81bbd4be136444e3176482ccd9b71683dcb0ce','e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',1,1,0,'sha256:b7819902ceb1b17a374b05529018a01674f34f1f955199fd191f143e7fc86efc',7,4,4,1767232800000000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "version" VALUES(4,3,1,'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855','033121135ea96bf640a442993f527f26ab8d1853ce1d8bffef1c320413c651d4','e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',1,0,0,NULL,NULL,7,NULL,1767232800000001,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "version" VALUES(5,2,2,'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855','e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855','7d8f72a38c712564f078720c250ca847bac2804f1865d76486046c5cbb65e5a5',1,0,1,'sha256:ed68e4260a3422dd4fbbd17dc25f586e11082d9c49c1f8413e853538654e7916',10,24,24,1767247200000002,NULL,NULL,NULL,NULL,NULL,NULL,'forest.joblib',1,NULL);
CREATE TABLE yank (
	position INTEGER NOT NULL, 
	version_id INTEGER NOT NULL, 
	yanked BOOLEAN NOT NULL, 
	reason TEXT, 
	until INTEGER, 
	CONSTRAINT pk_yank PRIMARY KEY (position), 
	CONSTRAINT ck_yank_until CHECK (until > position), 
	CONSTRAINT ck_yank_yanked CHECK (yanked IN (0, 1)), 
	CONSTRAINT ck_yank_reason CHECK (NOT yanked OR reason IS NOT NULL), 
	CONSTRAINT fk_yank_position FOREIGN KEY(position) REFERENCES journal (position), 
	CONSTRAINT fk_yank_version_id FOREIGN KEY(version_id) REFERENCES version (id), 
	CONSTRAINT fk_yank_until FOREIGN KEY(until) REFERENCES journal (position)
);
INSERT INTO "yank" VALUES(15,3,1,'drifts',NULL);
INSERT INTO "yank" VALUES(16,2,1,'by mistake',17);
INSERT INTO "yank" VALUES(17,2,0,NULL,NULL);
CREATE INDEX ix_upload_touched_at ON upload (touched_at);
CREATE UNIQUE INDEX uq_object_blob ON object (digest) WHERE state = 'blob';
CREATE INDEX ix_object_state ON object (state, "key");
CREATE INDEX ix_object_digest ON object (digest, state);
CREATE INDEX ix_page_code_expires_at ON page_code (expires_at);
CREATE INDEX ix_page_session_expires_at ON page_session (expires_at);
CREATE INDEX ix_answer_at ON answer (at);
CREATE INDEX ix_journal_op ON journal (op_id, position) WHERE op_id IS NOT NULL;
CREATE INDEX ix_journal_at ON journal (at);
CREATE INDEX ix_version_stored_major ON version (op_id, major_number, sequence) WHERE digest IS NOT NULL;
CREATE INDEX ix_version_registered_major ON version (op_id, major_number, sequence) WHERE digest IS NULL;
CREATE INDEX ix_version_registered_minor ON version (op_id, major_number, minor_number, sequence) WHERE digest IS NULL;
CREATE INDEX ix_version_digest ON version (digest);
CREATE INDEX ix_version_stored ON version (op_id, sequence) WHERE digest IS NOT NULL;
CREATE INDEX ix_version_removed ON version (op_id, removed_position) WHERE removed_position IS NOT NULL;
CREATE INDEX ix_version_sample ON version (sample) WHERE sample IS NOT NULL;
CREATE INDEX ix_version_stored_minor ON version (op_id, major_number, minor_number, sequence) WHERE digest IS NOT NULL;
CREATE INDEX ix_version_op_id_position ON version (op_id, position);
CREATE INDEX ix_version_op_id_digest_sequence ON version (op_id, digest, sequence);
CREATE UNIQUE INDEX uq_description_in_force ON description (op_id) WHERE until IS NULL;
CREATE INDEX ix_description_op_id_position ON description (op_id, position);
CREATE INDEX ix_level_op_id_position ON level (op_id, position);
CREATE UNIQUE INDEX uq_pipeline_in_force ON pipeline (name) WHERE until IS NULL;
CREATE INDEX ix_pipeline_name ON pipeline (name);
CREATE INDEX ix_run_set_digest_position ON run (set_digest, position);
CREATE INDEX ix_run_pipeline_position ON run (pipeline, position);
CREATE INDEX ix_run_command_digest_position ON run (command_digest, position);
CREATE UNIQUE INDEX uq_label_in_force ON label (version_id, "key") WHERE until IS NULL;
CREATE INDEX ix_label_position ON label (position);
CREATE INDEX ix_label_until ON label (until) WHERE until IS NOT NULL;
CREATE UNIQUE INDEX uq_message_in_force ON message (version_id) WHERE until IS NULL;
CREATE INDEX ix_message_version_id_position ON message (version_id, position);
CREATE INDEX ix_link_of_version ON link (upstream_version_id, downstream_id, position);
CREATE INDEX ix_link_line ON link (upstream_id, state, upstream_major, upstream_minor, position) WHERE until IS NULL;
CREATE INDEX ix_link_target ON link (downstream_id, upstream_id, coalesce(downstream_version_id, 0), position);
CREATE INDEX ix_link_major ON link (downstream_id, upstream_id, coalesce(downstream_version_id, 0), upstream_major, position);
CREATE INDEX ix_link_upstream ON link (upstream_id, position);
CREATE INDEX ix_link_downstream ON link (downstream_id, position);
CREATE INDEX ix_link_between ON link (downstream_id, upstream_id, state, position) WHERE until IS NULL;
CREATE INDEX ix_link_history ON link (downstream_id, upstream_id, position);
CREATE UNIQUE INDEX uq_link_in_force ON link (upstream_version_id, downstream_id, coalesce(downstream_version_id, 0)) WHERE until IS NULL;
CREATE INDEX ix_link_minor ON link (downstream_id, upstream_id, coalesce(downstream_version_id, 0), upstream_major, upstream_minor, position) WHERE until IS NULL;
CREATE INDEX ix_tag_op_id_position ON tag (op_id, position);
CREATE UNIQUE INDEX uq_tag_in_force ON tag (op_id, name) WHERE until IS NULL;
CREATE INDEX ix_tag_version ON tag (version_id) WHERE until IS NULL;
CREATE UNIQUE INDEX uq_yank_in_force ON yank (version_id) WHERE until IS NULL;
CREATE INDEX ix_removal_op_id_position ON removal (op_id, position);
CREATE UNIQUE INDEX uq_removal_in_force ON removal (op_id, coalesce(version_id, 0)) WHERE until IS NULL;
CREATE INDEX ix_pipeline_op_op_id ON pipeline_op (op_id);
CREATE INDEX ix_pipeline_edge_upstream_id ON pipeline_edge (upstream_id);
CREATE INDEX ix_run_version_version_id_run_position ON run_version (version_id, run_position);
CREATE INDEX ix_run_version_op_id_run_position ON run_version (op_id, run_position);
CREATE INDEX ix_bisection_pipeline_position ON bisection (pipeline, position);
COMMIT;
