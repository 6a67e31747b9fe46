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
INSERT INTO "studies" VALUES(1,'clouds/own/tune');
INSERT INTO "studies" VALUES(2,'clouds/sgd/tune');
INSERT INTO "studies" VALUES(3,'clouds/sgd/final');
INSERT INTO "studies" VALUES(4,'clouds/own/final');
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
INSERT INTO "study_directions" VALUES(3,'MAXIMIZE',3,0);
INSERT INTO "study_directions" VALUES(4,'MAXIMIZE',4,0);
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
INSERT INTO "trial_params" VALUES(1,1,'momentum',9.41656908901564448921e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 0.95, "log": false}}');
INSERT INTO "trial_params" VALUES(2,1,'lr',1.45124683486247017458e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(3,2,'momentum',5.69165690890156450443e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 0.95, "log": false}}');
INSERT INTO "trial_params" VALUES(4,2,'lr',1.45124683486246935926e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(5,3,'momentum',3.31665690890156406034e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 0.95, "log": false}}');
INSERT INTO "trial_params" VALUES(6,3,'lr',1.45124683486246904701e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(7,4,'lr',1.98319463846482850477e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(8,5,'lr',6.27141210098303147901e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(9,6,'lr',1.11523230110470682185e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(10,7,'lr',6.27141210098303147901e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(11,8,'lr',6.27141210098303147901e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(12,9,'momentum',5.69165690890156450443e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 0.95, "log": false}}');
INSERT INTO "trial_params" VALUES(13,9,'lr',1.45124683486246935926e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(14,10,'momentum',5.69165690890156450443e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 0.95, "log": false}}');
INSERT INTO "trial_params" VALUES(15,10,'lr',1.45124683486246935926e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 1.0, "log": true}}');
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
INSERT INTO "trial_user_attributes" VALUES(7,4,'record','"{\"workload\": \"clouds\", \"method\": \"sgd\", \"phase\": \"tune\", \"trial\": 0, \"seed\": 0, \"hyperparameters\": {\"lr\": 0.0019831946384648285}, \"status\": \"finished\", \"started\": 1795631413.1862733, \"finished\": 1795631423.1634812, \"error\": null, \"gradient_evaluations\": 18, \"samples\": 360, \"evaluations_to_target\": null, \"validation_loss\": 0.5946989059448242, \"validation_metric\": 0.6666666865348816, \"test_loss\": null, \"test_metric\": null, \"seconds\": 9.300981185999945, \"curve\": {\"gradient_evaluations\": [6, 12, 18], \"train_loss\": [0.5262643496195475, 0.5170055230458578, 0.5082023938496908], \"validation_loss\": [0.6047688722610474, 0.5977818369865417, 0.5946989059448242], \"validation_metric\": [0.6666666865348816, 0.6666666865348816, 0.6666666865348816]}, \"torch\": \"2.13.0+cpu\", \"device\": \"x86_64\", \"sharpness\": null, \"sharpness_note\": null}"');
INSERT INTO "trial_user_attributes" VALUES(8,5,'record','"{\"workload\": \"clouds\", \"method\": \"sgd\", \"phase\": \"tune\", \"trial\": 1, \"seed\": 0, \"hyperparameters\": {\"lr\": 0.06271412100983031}, \"status\": \"finished\", \"started\": 1795631423.237942, \"finished\": 1795631423.3050206, \"error\": null, \"gradient_evaluations\": 18, \"samples\": 360, \"evaluations_to_target\": 12, \"validation_loss\": 0.43663153052330017, \"validation_metric\": 0.7833333611488342, \"test_loss\": null, \"test_metric\": null, \"seconds\": 0.06666876799999955, \"curve\": {\"gradient_evaluations\": [6, 12, 18], \"train_loss\": [0.47142040729522705, 0.3524006207784017, 0.29213249683380127], \"validation_loss\": [0.5152727365493774, 0.46335452795028687, 0.43663153052330017], \"validation_metric\": [0.699999988079071, 0.7333333492279053, 0.7833333611488342]}, \"torch\": \"2.13.0+cpu\", \"device\": \"x86_64\", \"sharpness\": null, \"sharpness_note\": null}"');
INSERT INTO "trial_user_attributes" VALUES(9,2,'record','"{\"workload\": \"clouds\", \"method\": \"own\", \"phase\": \"tune\", \"trial\": 1, \"seed\": 0, \"hyperparameters\": {\"momentum\": 0.5691656908901565, \"lr\": 0.14512468348624694}, \"status\": \"finished\", \"started\": 1795631423.361922, \"finished\": 1795631423.4915829, \"error\": null, \"gradient_evaluations\": 18, \"samples\": 360, \"evaluations_to_target\": 6, \"validation_loss\": 0.42157766222953796, \"validation_metric\": 0.800000011920929, \"test_loss\": null, \"test_metric\": null, \"seconds\": 0.12903160299993033, \"curve\": {\"gradient_evaluations\": [6, 12, 18], \"train_loss\": [0.44402674833933514, 0.3305959105491638, 0.2911633054415385], \"validation_loss\": [0.48688805103302, 0.44055482745170593, 0.42157766222953796], \"validation_metric\": [0.7166666388511658, 0.75, 0.800000011920929]}, \"torch\": \"2.13.0+cpu\", \"device\": \"x86_64\", \"sharpness\": null, \"sharpness_note\": null}"');
INSERT INTO "trial_user_attributes" VALUES(10,1,'record','"{\"workload\": \"clouds\", \"method\": \"own\", \"phase\": \"tune\", \"trial\": 0, \"seed\": 0, \"hyperparameters\": {\"momentum\": 0.09416569089015644, \"lr\": 0.0014512468348624702}, \"status\": \"finished\", \"started\": 1795631413.6187015, \"finished\": 1795631423.5969496, \"error\": null, \"gradient_evaluations\": 18, \"samples\": 360, \"evaluations_to_target\": null, \"validation_loss\": 0.6071173548698425, \"validation_metric\": 0.6666666865348816, \"test_loss\": null, \"test_metric\": null, \"seconds\": 9.08216255299999, \"curve\": {\"gradient_evaluations\": [6, 12, 18], \"train_loss\": [0.5277640024820963, 0.5258601506551107, 0.5247676372528076], \"validation_loss\": [0.6084431409835815, 0.6074739098548889, 0.6071173548698425], \"validation_metric\": [0.6666666865348816, 0.6666666865348816, 0.6666666865348816]}, \"torch\": \"2.13.0+cpu\", \"device\": \"x86_64\", \"sharpness\": null, \"sharpness_note\": null}"');
INSERT INTO "trial_user_attributes" VALUES(11,6,'record','"{\"workload\": \"clouds\", \"method\": \"sgd\", \"phase\": \"tune\", \"trial\": 2, \"seed\": 0, \"hyperparameters\": {\"lr\": 0.011152323011047068}, \"status\": \"finished\", \"started\": 1795631423.50767, \"finished\": 1795631423.603953, \"error\": null, \"gradient_evaluations\": 18, \"samples\": 360, \"evaluations_to_target\": null, \"validation_loss\": 0.5461851358413696, \"validation_metric\": 0.6666666865348816, \"test_loss\": null, \"test_metric\": null, \"seconds\": 0.09575124000002688, \"curve\": {\"gradient_evaluations\": [6, 12, 18], \"train_loss\": [0.5155712366104126, 0.4730049769083659, 0.44021062056223553], \"validation_loss\": [0.5835829377174377, 0.5564611554145813, 0.5461851358413696], \"validation_metric\": [0.699999988079071, 0.6833333373069763, 0.6666666865348816]}, \"torch\": \"2.13.0+cpu\", \"device\": \"x86_64\", \"sharpness\": null, \"sharpness_note\": null}"');
INSERT INTO "trial_user_attributes" VALUES(12,7,'seed','1');
INSERT INTO "trial_user_attributes" VALUES(13,8,'seed','2');
INSERT INTO "trial_user_attributes" VALUES(14,3,'record','"{\"workload\": \"clouds\", \"method\": \"own\", \"phase\": \"tune\", \"trial\": 2, \"seed\": 0, \"hyperparameters\": {\"momentum\": 0.3316656908901564, \"lr\": 0.01451246834862469}, \"status\": \"finished\", \"started\": 1795631423.621972, \"finished\": 1795631423.8023958, \"error\": null, \"gradient_evaluations\": 18, \"samples\": 360, \"evaluations_to_target\": null, \"validation_loss\": 0.5785886645317078, \"validation_metric\": 0.699999988079071, \"test_loss\": null, \"test_metric\": null, \"seconds\": 0.1796949179999956, \"curve\": {\"gradient_evaluations\": [6, 12, 18], \"train_loss\": [0.5178426106770834, 0.4964096148808797, 0.4851597547531128], \"validation_loss\": [0.5923334360122681, 0.5821235179901123, 0.5785886645317078], \"validation_metric\": [0.6666666865348816, 0.699999988079071, 0.699999988079071]}, \"torch\": \"2.13.0+cpu\", \"device\": \"x86_64\", \"sharpness\": null, \"sharpness_note\": null}"');
INSERT INTO "trial_user_attributes" VALUES(15,9,'seed','1');
INSERT INTO "trial_user_attributes" VALUES(16,10,'seed','2');
INSERT INTO "trial_user_attributes" VALUES(17,7,'record','"{\"workload\": \"clouds\", \"method\": \"sgd\", \"phase\": \"final\", \"trial\": 0, \"seed\": 1, \"hyperparameters\": {\"lr\": 0.06271412100983031}, \"status\": \"finished\", \"started\": 1795631423.9882061, \"finished\": 1795631424.0815434, \"error\": null, \"gradient_evaluations\": 18, \"samples\": 360, \"evaluations_to_target\": 6, \"validation_loss\": 0.5064194202423096, \"validation_metric\": 0.7833333611488342, \"test_loss\": 0.2593885660171509, \"test_metric\": 0.8833333253860474, \"seconds\": 0.09274678299993866, \"curve\": {\"gradient_evaluations\": [6, 12, 18], \"train_loss\": [0.6510863701502482, 0.40476715564727783, 0.3431769212086995], \"validation_loss\": [0.5259419083595276, 0.5380210280418396, 0.5064194202423096], \"validation_metric\": [0.75, 0.7833333611488342, 0.7833333611488342]}, \"torch\": \"2.13.0+cpu\", \"device\": \"x86_64\", \"sharpness\": null, \"sharpness_note\": null}"');
INSERT INTO "trial_user_attributes" VALUES(18,8,'record','"{\"workload\": \"clouds\", \"method\": \"sgd\", \"phase\": \"final\", \"trial\": 1, \"seed\": 2, \"hyperparameters\": {\"lr\": 0.06271412100983031}, \"status\": \"finished\", \"started\": 1795631424.0147252, \"finished\": 1795631424.103831, \"error\": null, \"gradient_evaluations\": 18, \"samples\": 360, \"evaluations_to_target\": 6, \"validation_loss\": 0.45551520586013794, \"validation_metric\": 0.8166666626930237, \"test_loss\": 0.24379339814186096, \"test_metric\": 0.8999999761581421, \"seconds\": 0.08854988400003094, \"curve\": {\"gradient_evaluations\": [6, 12, 18], \"train_loss\": [0.5270378589630127, 0.3295685847600301, 0.29885663588841754], \"validation_loss\": [0.4435667395591736, 0.46965262293815613, 0.45551520586013794], \"validation_metric\": [0.800000011920929, 0.800000011920929, 0.8166666626930237]}, \"torch\": \"2.13.0+cpu\", \"device\": \"x86_64\", \"sharpness\": null, \"sharpness_note\": null}"');
INSERT INTO "trial_user_attributes" VALUES(19,9,'record','"{\"workload\": \"clouds\", \"method\": \"own\", \"phase\": \"final\", \"trial\": 0, \"seed\": 1, \"hyperparameters\": {\"momentum\": 0.5691656908901565, \"lr\": 0.14512468348624694}, \"status\": \"finished\", \"started\": 1795631424.330621, \"finished\": 1795631424.5141878, \"error\": null, \"gradient_evaluations\": 18, \"samples\": 360, \"evaluations_to_target\": 6, \"validation_loss\": 0.3960106670856476, \"validation_metric\": 0.8333333134651184, \"test_loss\": 0.22530680894851685, \"test_metric\": 0.9166666865348816, \"seconds\": 0.17253116200004115, \"curve\": {\"gradient_evaluations\": [6, 12, 18], \"train_loss\": [0.5760260423024496, 0.34207427501678467, 0.29234886169433594], \"validation_loss\": [0.47419649362564087, 0.4126398265361786, 0.3960106670856476], \"validation_metric\": [0.7833333611488342, 0.8166666626930237, 0.8333333134651184]}, \"torch\": \"2.13.0+cpu\", \"device\": \"x86_64\", \"sharpness\": null, \"sharpness_note\": null}"');
INSERT INTO "trial_user_attributes" VALUES(20,10,'record','"{\"workload\": \"clouds\", \"method\": \"own\", \"phase\": \"final\", \"trial\": 1, \"seed\": 2, \"hyperparameters\": {\"momentum\": 0.5691656908901565, \"lr\": 0.14512468348624694}, \"status\": \"finished\", \"started\": 1795631424.5639474, \"finished\": 1795631424.7206738, \"error\": null, \"gradient_evaluations\": 18, \"samples\": 360, \"evaluations_to_target\": 6, \"validation_loss\": 0.37614327669143677, \"validation_metric\": 0.8500000238418579, \"test_loss\": 0.22797970473766327, \"test_metric\": 0.9166666865348816, \"seconds\": 0.15598610899996856, \"curve\": {\"gradient_evaluations\": [6, 12, 18], \"train_loss\": [0.46318523089090985, 0.2891031901041667, 0.2584782838821411], \"validation_loss\": [0.4229927659034729, 0.3852597773075104, 0.37614327669143677], \"validation_metric\": [0.8166666626930237, 0.8500000238418579, 0.8500000238418579]}, \"torch\": \"2.13.0+cpu\", \"device\": \"x86_64\", \"sharpness\": null, \"sharpness_note\": null}"');
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
INSERT INTO "trial_values" VALUES(1,4,0,6.66666686534881591796e-01,'FINITE');
INSERT INTO "trial_values" VALUES(2,5,0,7.83333361148834228515e-01,'FINITE');
INSERT INTO "trial_values" VALUES(3,2,0,0.800000011920929,'FINITE');
INSERT INTO "trial_values" VALUES(4,1,0,6.66666686534881591796e-01,'FINITE');
INSERT INTO "trial_values" VALUES(5,6,0,6.66666686534881591796e-01,'FINITE');
INSERT INTO "trial_values" VALUES(6,3,0,0.699999988079071,'FINITE');
INSERT INTO "trial_values" VALUES(7,7,0,8.83333325386047363281e-01,'FINITE');
INSERT INTO "trial_values" VALUES(8,8,0,8.99999976158142089843e-01,'FINITE');
INSERT INTO "trial_values" VALUES(9,9,0,9.16666686534881591796e-01,'FINITE');
INSERT INTO "trial_values" VALUES(10,10,0,9.16666686534881591796e-01,'FINITE');
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
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-11-25 18:30:09.293330','2026-11-25 18:30:23.696269');
INSERT INTO "trials" VALUES(2,1,1,'COMPLETE','2026-11-25 18:30:23.354875','2026-11-25 18:30:23.561426');
INSERT INTO "trials" VALUES(3,2,1,'COMPLETE','2026-11-25 18:30:23.599991','2026-11-25 18:30:24.097240');
INSERT INTO "trials" VALUES(4,0,2,'COMPLETE','2026-11-25 18:30:09.280568','2026-11-25 18:30:23.323757');
INSERT INTO "trials" VALUES(5,1,2,'COMPLETE','2026-11-25 18:30:23.173155','2026-11-25 18:30:23.419150');
INSERT INTO "trials" VALUES(6,2,2,'COMPLETE','2026-11-25 18:30:23.499436','2026-11-25 18:30:23.792908');
INSERT INTO "trials" VALUES(7,0,3,'COMPLETE','2026-11-25 18:30:23.963987','2026-11-25 18:30:24.497086');
INSERT INTO "trials" VALUES(8,1,3,'COMPLETE','2026-11-25 18:30:23.989555','2026-11-25 18:30:24.617265');
INSERT INTO "trials" VALUES(9,0,4,'COMPLETE','2026-11-25 18:30:24.305630','2026-11-25 18:30:24.700780');
INSERT INTO "trials" VALUES(10,1,4,'COMPLETE','2026-11-25 18:30:24.532721','2026-11-25 18:30:24.796899');
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
