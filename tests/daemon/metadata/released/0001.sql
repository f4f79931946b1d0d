BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE answer (
	owner VARCHAR(64) NOT NULL, 
	"key" VARCHAR(128) NOT NULL, 
	request VARCHAR(64) NOT NULL, 
	body TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	CONSTRAINT pk_answer PRIMARY KEY (owner, "key")
);
CREATE TABLE counter (
	id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	CONSTRAINT pk_counter PRIMARY KEY (id), 
	CONSTRAINT ck_counter_one CHECK (id = 1)
);
INSERT INTO "counter" VALUES(1,22);
CREATE TABLE journal (
	position INTEGER NOT NULL, 
	at BIGINT NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	CONSTRAINT pk_journal PRIMARY KEY (position), 
	CONSTRAINT ck_journal_kind CHECK (kind IN ('version', 'link', 'level', 'tag', 'yank', 'pipeline'))
);
INSERT INTO "journal" VALUES(1,1767229200000000,'version');
INSERT INTO "journal" VALUES(2,1767229200000000,'version');
INSERT INTO "journal" VALUES(3,1767229200000000,'link');
INSERT INTO "journal" VALUES(4,1767232800000000,'version');
INSERT INTO "journal" VALUES(5,1767232800000000,'link');
INSERT INTO "journal" VALUES(6,1767232800000000,'tag');
INSERT INTO "journal" VALUES(7,1767232800000000,'version');
INSERT INTO "journal" VALUES(8,1767236400000000,'link');
INSERT INTO "journal" VALUES(9,1767236400000000,'link');
INSERT INTO "journal" VALUES(10,1767236400000000,'link');
INSERT INTO "journal" VALUES(11,1767236400000000,'link');
INSERT INTO "journal" VALUES(12,1767240000000000,'tag');
INSERT INTO "journal" VALUES(13,1767240000000000,'tag');
INSERT INTO "journal" VALUES(14,1767240000000000,'tag');
INSERT INTO "journal" VALUES(15,1767240000000000,'tag');
INSERT INTO "journal" VALUES(16,1767243600000000,'yank');
INSERT INTO "journal" VALUES(17,1767243600000000,'yank');
INSERT INTO "journal" VALUES(18,1767243600000000,'yank');
INSERT INTO "journal" VALUES(19,1767243600000000,'pipeline');
INSERT INTO "journal" VALUES(20,1767243600000000,'pipeline');
INSERT INTO "journal" VALUES(21,1767243600000000,'pipeline');
INSERT INTO "journal" VALUES(22,1767247200000000,'level');
CREATE TABLE label (
	version_id INTEGER NOT NULL, 
	"key" VARCHAR(128) NOT NULL, 
	position INTEGER NOT NULL, 
	value TEXT NOT NULL, 
	until INTEGER, 
	CONSTRAINT pk_label PRIMARY KEY (version_id, "key", position), 
	CONSTRAINT ck_label_until CHECK (until > position), 
	CONSTRAINT fk_label_position FOREIGN KEY(position) REFERENCES journal (position), 
	CONSTRAINT fk_label_until FOREIGN KEY(until) REFERENCES journal (position), 
	CONSTRAINT fk_label_version_id FOREIGN KEY(version_id) REFERENCES version (id)
);
INSERT INTO "label" VALUES(1,'data',1,'january',NULL);
CREATE TABLE level (
	position INTEGER NOT NULL, 
	op_id INTEGER NOT NULL, 
	compat VARCHAR(8) NOT NULL, 
	CONSTRAINT pk_level PRIMARY KEY (position), 
	CONSTRAINT ck_level_compat CHECK (compat IN ('major', 'minor', 'exact')), 
	CONSTRAINT fk_level_op_id FOREIGN KEY(op_id) REFERENCES op (id), 
	CONSTRAINT fk_level_position FOREIGN KEY(position) REFERENCES journal (position)
);
INSERT INTO "level" VALUES(22,1,'minor');
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
	CONSTRAINT pk_link PRIMARY KEY (position), 
	CONSTRAINT ck_link_state CHECK (state IN ('valid', 'invalid', 'revoked')), 
	CONSTRAINT ck_link_until CHECK (until > position), 
	CONSTRAINT ck_link_two_ops CHECK (upstream_id <> downstream_id), 
	CONSTRAINT fk_link_downstream_id FOREIGN KEY(downstream_id) REFERENCES op (id), 
	CONSTRAINT fk_link_downstream_version_id FOREIGN KEY(downstream_version_id) REFERENCES version (id), 
	CONSTRAINT fk_link_position FOREIGN KEY(position) REFERENCES journal (position), 
	CONSTRAINT fk_link_until FOREIGN KEY(until) REFERENCES journal (position), 
	CONSTRAINT fk_link_upstream_id FOREIGN KEY(upstream_id) REFERENCES op (id), 
	CONSTRAINT fk_link_upstream_version_id FOREIGN KEY(upstream_version_id) REFERENCES version (id)
);
INSERT INTO "link" VALUES(3,1,1,1,0,2,2,'valid',NULL,NULL);
INSERT INTO "link" VALUES(5,1,3,1,1,2,NULL,'valid',NULL,9);
INSERT INTO "link" VALUES(8,3,4,1,0,2,NULL,'valid','notebook 7',NULL);
INSERT INTO "link" VALUES(9,1,3,1,1,2,NULL,'invalid','drifted',NULL);
INSERT INTO "link" VALUES(10,3,4,1,0,1,NULL,'valid',NULL,11);
INSERT INTO "link" VALUES(11,3,4,1,0,1,NULL,'revoked',NULL,NULL);
CREATE TABLE op (
	id INTEGER NOT NULL, 
	name VARCHAR(128) NOT NULL, 
	compat VARCHAR(8) DEFAULT 'major' NOT NULL, 
	last_sequence INTEGER DEFAULT '0' NOT NULL, 
	position INTEGER DEFAULT '0' NOT NULL, 
	changed INTEGER DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_op PRIMARY KEY (id), 
	CONSTRAINT ck_op_compat CHECK (compat IN ('major', 'minor', 'exact')), 
	CONSTRAINT ck_op_name CHECK (length(name) BETWEEN 1 AND 128), 
	CONSTRAINT uq_op_name UNIQUE (name)
);
INSERT INTO "op" VALUES(1,'pca','minor',2,1,22);
INSERT INTO "op" VALUES(2,'forest','major',1,2,18);
INSERT INTO "op" VALUES(3,'knn','major',1,7,11);
CREATE TABLE pipeline (
	id INTEGER NOT NULL, 
	name VARCHAR(128) NOT NULL, 
	registered_at BIGINT NOT NULL, 
	position INTEGER NOT NULL, 
	until INTEGER, 
	CONSTRAINT pk_pipeline PRIMARY KEY (id), 
	CONSTRAINT ck_pipeline_name CHECK (length(name) BETWEEN 1 AND 128), 
	CONSTRAINT ck_pipeline_until CHECK (until > position), 
	CONSTRAINT fk_pipeline_position FOREIGN KEY(position) REFERENCES journal (position), 
	CONSTRAINT fk_pipeline_until FOREIGN KEY(until) REFERENCES journal (position)
);
INSERT INTO "pipeline" VALUES(1,'churn',1767243600000000,19,NULL);
INSERT INTO "pipeline" VALUES(2,'old',1767243600000000,20,21);
CREATE TABLE pipeline_edge (
	pipeline_id INTEGER NOT NULL, 
	upstream_id INTEGER NOT NULL, 
	downstream_id INTEGER NOT NULL, 
	CONSTRAINT pk_pipeline_edge PRIMARY KEY (pipeline_id, upstream_id, downstream_id), 
	CONSTRAINT ck_pipeline_edge_two_ops CHECK (upstream_id <> downstream_id), 
	CONSTRAINT fk_pipeline_edge_downstream_id FOREIGN KEY(downstream_id) REFERENCES op (id), 
	CONSTRAINT fk_pipeline_edge_pipeline_id FOREIGN KEY(pipeline_id) REFERENCES pipeline (id), 
	CONSTRAINT fk_pipeline_edge_upstream_id FOREIGN KEY(upstream_id) REFERENCES op (id)
);
INSERT INTO "pipeline_edge" VALUES(1,1,2);
INSERT INTO "pipeline_edge" VALUES(2,1,3);
CREATE TABLE pipeline_op (
	pipeline_id INTEGER NOT NULL, 
	op_id INTEGER NOT NULL, 
	place INTEGER NOT NULL, 
	CONSTRAINT pk_pipeline_op PRIMARY KEY (pipeline_id, op_id), 
	CONSTRAINT fk_pipeline_op_op_id FOREIGN KEY(op_id) REFERENCES op (id), 
	CONSTRAINT fk_pipeline_op_pipeline_id FOREIGN KEY(pipeline_id) REFERENCES pipeline (id), 
	CONSTRAINT uq_pipeline_op_pipeline_id_place UNIQUE (pipeline_id, place)
);
INSERT INTO "pipeline_op" VALUES(1,1,0);
INSERT INTO "pipeline_op" VALUES(1,2,1);
INSERT INTO "pipeline_op" VALUES(2,1,0);
INSERT INTO "pipeline_op" VALUES(2,3,1);
CREATE TABLE tag (
	position INTEGER NOT NULL, 
	op_id INTEGER NOT NULL, 
	name VARCHAR(128) NOT NULL, 
	version_id INTEGER, 
	until INTEGER, 
	CONSTRAINT pk_tag PRIMARY KEY (position, op_id, name), 
	CONSTRAINT ck_tag_name CHECK (length(name) BETWEEN 1 AND 128), 
	CONSTRAINT ck_tag_until CHECK (until > position), 
	CONSTRAINT fk_tag_op_id FOREIGN KEY(op_id) REFERENCES op (id), 
	CONSTRAINT fk_tag_position FOREIGN KEY(position) REFERENCES journal (position), 
	CONSTRAINT fk_tag_until FOREIGN KEY(until) REFERENCES journal (position), 
	CONSTRAINT fk_tag_version_id FOREIGN KEY(version_id) REFERENCES version (id)
);
INSERT INTO "tag" VALUES(6,1,'candidate',3,14);
INSERT INTO "tag" VALUES(12,1,'prod',1,13);
INSERT INTO "tag" VALUES(13,1,'prod',3,NULL);
INSERT INTO "tag" VALUES(14,1,'candidate',NULL,NULL);
INSERT INTO "tag" VALUES(15,2,'any',2,NULL);
CREATE TABLE upload (
	id VARCHAR(32) NOT NULL, 
	owner VARCHAR(64) NOT NULL, 
	size BIGINT, 
	touched_at BIGINT NOT NULL, 
	CONSTRAINT pk_upload PRIMARY KEY (id)
);
INSERT INTO "upload" VALUES('cb5b39f66d7c4d9ca25dc8fc993964bc','local',8,1767247200000000);
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
	CONSTRAINT pk_version PRIMARY KEY (id), 
	CONSTRAINT ck_version_stored_whole CHECK ((digest IS NULL) = (size IS NULL) AND (digest IS NULL) = (stored_position IS NULL)), 
	CONSTRAINT ck_version_number CHECK (major_number BETWEEN 1 AND 2147483647 AND minor_number BETWEEN 0 AND 2147483647 AND patch_number BETWEEN 0 AND 2147483647), 
	CONSTRAINT ck_version_sequence CHECK (sequence >= 1), 
	CONSTRAINT fk_version_op_id FOREIGN KEY(op_id) REFERENCES op (id), 
	CONSTRAINT fk_version_position FOREIGN KEY(position) REFERENCES journal (position), 
	CONSTRAINT fk_version_stored_position FOREIGN KEY(stored_position) REFERENCES journal (position), 
	CONSTRAINT uq_version_op_id_major_minor_patch UNIQUE (op_id, major, minor, patch), 
	CONSTRAINT uq_version_op_id_major_number_minor_number_patch_number UNIQUE (op_id, major_number, minor_number, patch_number), 
	CONSTRAINT uq_version_op_id_sequence UNIQUE (op_id, sequence), 
	CONSTRAINT uq_version_position UNIQUE (position), 
	CONSTRAINT uq_version_stored_position UNIQUE (stored_position)
);
INSERT INTO "version" VALUES(1,1,1,'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855','e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855','e1b3273e471d138c917baa58491626022bd0c0e0df22bfa9925124c6f701e628',1,0,0,'sha256:6abc3dd50b96a23b427cbde553424e8ae4c143930c3aa940c3f8370991523f72',7,1,1,1767229200000000,'the first',NULL,NULL,NULL,NULL);
INSERT INTO "version" VALUES(2,2,1,'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855','e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855','0084fd9ec465a11c152362b2170733bbfac2d25d00f7f6b77b9c07ddf87e77ca',1,0,0,'sha256:250cfe6e82164f152912106468f2e3bb1ad03132aba85852ac2a3625d0533c10',10,2,2,1767229200000000,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "version" VALUES(3,1,2,'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855','c00d76240512ca8b2c551c6a5a81bbd4be136444e3176482ccd9b71683dcb0ce','e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',1,1,0,'sha256:b7819902ceb1b17a374b05529018a01674f34f1f955199fd191f143e7fc86efc',7,4,4,1767232800000000,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "version" VALUES(4,3,1,'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855','033121135ea96bf640a442993f527f26ab8d1853ce1d8bffef1c320413c651d4','e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',1,0,0,NULL,NULL,7,NULL,1767232800000000,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE yank (
	position INTEGER NOT NULL, 
	version_id INTEGER NOT NULL, 
	yanked BOOLEAN NOT NULL, 
	reason TEXT, 
	until INTEGER, 
	CONSTRAINT pk_yank PRIMARY KEY (position), 
	CONSTRAINT ck_yank_reason CHECK (NOT yanked OR reason IS NOT NULL), 
	CONSTRAINT ck_yank_until CHECK (until > position), 
	CONSTRAINT ck_yank_yanked CHECK (yanked IN (0, 1)), 
	CONSTRAINT fk_yank_position FOREIGN KEY(position) REFERENCES journal (position), 
	CONSTRAINT fk_yank_until FOREIGN KEY(until) REFERENCES journal (position), 
	CONSTRAINT fk_yank_version_id FOREIGN KEY(version_id) REFERENCES version (id)
);
INSERT INTO "yank" VALUES(16,3,1,'drifts',NULL);
INSERT INTO "yank" VALUES(17,2,1,'by mistake',18);
INSERT INTO "yank" VALUES(18,2,0,NULL,NULL);
CREATE INDEX ix_answer_at ON answer (at);
CREATE INDEX ix_journal_at ON journal (at);
CREATE INDEX ix_upload_touched_at ON upload (touched_at);
CREATE INDEX ix_level_op_id_position ON level (op_id, position);
CREATE INDEX ix_pipeline_name ON pipeline (name);
CREATE UNIQUE INDEX uq_pipeline_in_force ON pipeline (name) WHERE until IS NULL;
CREATE INDEX ix_version_digest ON version (digest);
CREATE INDEX ix_version_stored ON version (op_id, sequence) WHERE digest IS NOT NULL;
CREATE UNIQUE INDEX uq_label_in_force ON label (version_id, "key") WHERE until IS NULL;
CREATE INDEX ix_link_between ON link (downstream_id, upstream_id, state, position) WHERE until IS NULL;
CREATE INDEX ix_link_downstream ON link (downstream_id, position) WHERE until IS NULL;
CREATE INDEX ix_link_history ON link (downstream_id, upstream_id, position);
CREATE INDEX ix_link_upstream ON link (upstream_id, position) WHERE until IS NULL;
CREATE INDEX ix_pipeline_edge_upstream_id ON pipeline_edge (upstream_id);
CREATE INDEX ix_pipeline_op_op_id ON pipeline_op (op_id);
CREATE INDEX ix_tag_version ON tag (version_id) WHERE until IS NULL;
CREATE UNIQUE INDEX uq_tag_in_force ON tag (op_id, name) WHERE until IS NULL;
CREATE UNIQUE INDEX uq_yank_in_force ON yank (version_id) WHERE until IS NULL;
CREATE INDEX ix_link_history_upstream ON link (upstream_id, position);
CREATE UNIQUE INDEX uq_link_in_force ON link (upstream_version_id, downstream_id, coalesce(downstream_version_id, 0)) WHERE until IS NULL;
CREATE INDEX ix_link_major ON link (downstream_id, upstream_id, coalesce(downstream_version_id, 0), upstream_major, position) WHERE until IS NULL;
CREATE INDEX ix_link_minor ON link (downstream_id, upstream_id, coalesce(downstream_version_id, 0), upstream_major, upstream_minor, position) WHERE until IS NULL;
COMMIT;
