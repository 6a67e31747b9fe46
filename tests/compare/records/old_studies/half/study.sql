BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v3.2.0.a');
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'digits-mlp/csgd+ssgd+sngm/tune');
INSERT INTO "studies" VALUES(2,'digits-mlp/sgd/tune');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_directions" VALUES(1,'MAXIMIZE',1,0);
INSERT INTO "study_directions" VALUES(2,'MAXIMIZE',2,0);
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_system_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (trial_heartbeat_id), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	param_name VARCHAR(512), 
	param_value FLOAT, 
	distribution_json TEXT, 
	PRIMARY KEY (param_id), 
	UNIQUE (trial_id, param_name), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_params" VALUES(1,1,'lr',1.98319463846482850477e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(2,2,'lr',6.27141210098303147901e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(3,3,'lr',1.11523230110470682185e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(4,4,'lr',1.98319463846482850477e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(5,5,'lr',6.27141210098303147901e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(6,6,'lr',1.11523230110470682185e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 1.0, "log": true}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_user_attributes" VALUES(1,1,'seed','0');
INSERT INTO "trial_user_attributes" VALUES(2,2,'seed','0');
INSERT INTO "trial_user_attributes" VALUES(3,3,'seed','0');
INSERT INTO "trial_user_attributes" VALUES(4,4,'seed','0');
INSERT INTO "trial_user_attributes" VALUES(5,5,'seed','0');
INSERT INTO "trial_user_attributes" VALUES(6,6,'seed','0');
INSERT INTO "trial_user_attributes" VALUES(7,4,'record','"{\"workload\": \"digits-mlp\", \"method\": \"sgd\", \"phase\": \"tune\", \"trial\": 0, \"seed\": 0, \"hyperparameters\": {\"lr\": 0.0019831946384648285}, \"status\": \"finished\", \"started\": 1795631524.31049, \"finished\": 1795631548.0055003, \"error\": null, \"gradient_evaluations\": 32, \"samples\": 2048, \"evaluations_to_target\": null, \"validation_loss\": 2.2544589042663574, \"validation_metric\": 0.12222222238779068, \"test_loss\": null, \"test_metric\": null, \"seconds\": 11.095373811999934, \"curve\": {\"gradient_evaluations\": [16, 32], \"train_loss\": [2.3292157649993896, 2.273536443710327], \"validation_loss\": [2.285916566848755, 2.2544589042663574], \"validation_metric\": [0.08055555820465088, 0.12222222238779068]}, \"torch\": \"2.13.0+cpu\", \"device\": \"x86_64\", \"sharpness\": null, \"sharpness_note\": null}"');
INSERT INTO "trial_user_attributes" VALUES(8,1,'record','"{\"workload\": \"digits-mlp\", \"method\": \"csgd+ssgd+sngm\", \"phase\": \"tune\", \"trial\": 0, \"seed\": 0, \"hyperparameters\": {\"lr\": 0.0019831946384648285}, \"status\": \"finished\", \"started\": 1795631548.0121427, \"finished\": 1795631548.457786, \"error\": null, \"gradient_evaluations\": 32, \"samples\": 2048, \"evaluations_to_target\": null, \"validation_loss\": 2.2474076747894287, \"validation_metric\": 0.14444445073604584, \"test_loss\": null, \"test_metric\": null, \"seconds\": 0.4450812360000782, \"curve\": {\"gradient_evaluations\": [16, 32], \"train_loss\": [2.3273205757141113, 2.268368721008301], \"validation_loss\": [2.281949281692505, 2.2474076747894287], \"validation_metric\": [0.0833333358168602, 0.14444445073604584]}, \"torch\": \"2.13.0+cpu\", \"device\": \"x86_64\", \"sharpness\": null, \"sharpness_note\": null}"');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,4,0,1.22222222387790679931e-01,'FINITE');
INSERT INTO "trial_values" VALUES(2,1,0,1.44444450736045837402e-01,'FINITE');
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-11-25 18:32:28.007696','2026-11-25 18:32:28.529929');
INSERT INTO "trials" VALUES(2,1,1,'WAITING',NULL,NULL);
INSERT INTO "trials" VALUES(3,2,1,'WAITING',NULL,NULL);
INSERT INTO "trials" VALUES(4,0,2,'COMPLETE','2026-11-25 18:32:02.027513','2026-11-25 18:32:28.105630');
INSERT INTO "trials" VALUES(5,1,2,'RUNNING','2026-11-25 18:32:28.459924',NULL);
INSERT INTO "trials" VALUES(6,2,2,'WAITING',NULL,NULL);
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL, 
	schema_version INTEGER, 
	library_version VARCHAR(256), 
	PRIMARY KEY (version_info_id), 
	CHECK (version_info_id=1)
);
INSERT INTO "version_info" VALUES(1,12,'5.0.0');
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
COMMIT;
