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
INSERT INTO "trial_intermediate_values" VALUES(1,9,1,6.66666686534881591796e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(2,9,2,6.66666686534881591796e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(3,1,1,6.66666686534881591796e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(4,1,2,6.66666686534881591796e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(5,10,1,0.699999988079071,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(6,10,2,7.33333349227905273437e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(7,2,1,7.16666638851165771484e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(8,2,2,0.75,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(9,11,1,0.699999988079071,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(10,11,2,6.83333337306976318359e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(11,3,1,6.66666686534881591796e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(12,3,2,0.699999988079071,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(13,12,1,8.66666674613952636718e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(14,12,2,8.99999976158142089843e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(15,4,1,6.66666686534881591796e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(16,4,2,6.66666686534881591796e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(17,13,1,6.66666686534881591796e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(18,5,1,0.75,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(19,5,2,8.1666666269302368164e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(20,14,1,0.75,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(21,14,2,8.50000023841857910156e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(22,6,1,6.83333337306976318359e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(23,6,2,6.83333337306976318359e-01,'FINITE');
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
INSERT INTO "trial_params" VALUES(7,4,'momentum',8.06665690890156383829e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 0.95, "log": false}}');
INSERT INTO "trial_params" VALUES(8,4,'lr',3.12661652482667563879e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(9,5,'momentum',2.12915690890156439341e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 0.95, "log": false}}');
INSERT INTO "trial_params" VALUES(10,5,'lr',3.12661652482667418162e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(11,6,'momentum',6.87915690890156361625e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 0.95, "log": false}}');
INSERT INTO "trial_params" VALUES(12,6,'lr',3.12661652482667459795e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(13,7,'momentum',4.50415690890156428238e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 0.95, "log": false}}');
INSERT INTO "trial_params" VALUES(14,7,'lr',6.73609110351352461526e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(15,8,'momentum',9.25415690890156406034e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 0.95, "log": false}}');
INSERT INTO "trial_params" VALUES(16,8,'lr',6.73609110351352180501e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(17,9,'lr',1.98319463846482850477e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(18,10,'lr',6.27141210098303147901e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(19,11,'lr',1.11523230110470682185e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(20,12,'lr',3.52667419168158913223e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(21,13,'lr',4.70289561886466644935e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(22,14,'lr',1.48718617536394787093e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(23,15,'lr',2.64463255454424339685e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 1.0, "log": true}}');
INSERT INTO "trial_params" VALUES(24,16,'lr',8.36306244658929331947e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 1.0, "log": true}}');
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
INSERT INTO "trial_user_attributes" VALUES(7,7,'seed','0');
INSERT INTO "trial_user_attributes" VALUES(8,8,'seed','0');
INSERT INTO "trial_user_attributes" VALUES(9,9,'seed','0');
INSERT INTO "trial_user_attributes" VALUES(10,10,'seed','0');
INSERT INTO "trial_user_attributes" VALUES(11,11,'seed','0');
INSERT INTO "trial_user_attributes" VALUES(12,12,'seed','0');
INSERT INTO "trial_user_attributes" VALUES(13,13,'seed','0');
INSERT INTO "trial_user_attributes" VALUES(14,14,'seed','0');
INSERT INTO "trial_user_attributes" VALUES(15,15,'seed','0');
INSERT INTO "trial_user_attributes" VALUES(16,16,'seed','0');
INSERT INTO "trial_user_attributes" VALUES(17,9,'record','"{\"workload\": \"clouds\", \"method\": \"sgd\", \"phase\": \"tune\", \"trial\": 0, \"seed\": 0, \"hyperparameters\": {\"lr\": 0.0019831946384648285}, \"status\": \"finished\", \"started\": 1795631632.4343586, \"finished\": 1795631649.4312372, \"error\": null, \"gradient_evaluations\": 18, \"samples\": 360, \"evaluations_to_target\": null, \"validation_loss\": 0.5946989059448242, \"validation_metric\": 0.6666666865348816, \"test_loss\": null, \"test_metric\": null, \"seconds\": 15.043655496999918, \"curve\": {\"gradient_evaluations\": [6, 12, 18], \"train_loss\": [0.5262643496195475, 0.5170055230458578, 0.5082023938496908], \"validation_loss\": [0.6047688722610474, 0.5977818369865417, 0.5946989059448242], \"validation_metric\": [0.6666666865348816, 0.6666666865348816, 0.6666666865348816]}, \"torch\": \"2.13.0+cpu\", \"device\": \"x86_64\", \"sharpness\": null, \"sharpness_note\": null}"');
INSERT INTO "trial_user_attributes" VALUES(18,1,'record','"{\"workload\": \"clouds\", \"method\": \"own\", \"phase\": \"tune\", \"trial\": 0, \"seed\": 0, \"hyperparameters\": {\"momentum\": 0.09416569089015644, \"lr\": 0.0014512468348624702}, \"status\": \"finished\", \"started\": 1795631649.5340195, \"finished\": 1795631650.819167, \"error\": null, \"gradient_evaluations\": 18, \"samples\": 360, \"evaluations_to_target\": null, \"validation_loss\": 0.6071173548698425, \"validation_metric\": 0.6666666865348816, \"test_loss\": null, \"test_metric\": null, \"seconds\": 1.2842059189999873, \"curve\": {\"gradient_evaluations\": [6, 12, 18], \"train_loss\": [0.5277640024820963, 0.5258601506551107, 0.5247676372528076], \"validation_loss\": [0.6084431409835815, 0.6074739098548889, 0.6071173548698425], \"validation_metric\": [0.6666666865348816, 0.6666666865348816, 0.6666666865348816]}, \"torch\": \"2.13.0+cpu\", \"device\": \"x86_64\", \"sharpness\": null, \"sharpness_note\": null}"');
INSERT INTO "trial_user_attributes" VALUES(19,10,'record','"{\"workload\": \"clouds\", \"method\": \"sgd\", \"phase\": \"tune\", \"trial\": 1, \"seed\": 0, \"hyperparameters\": {\"lr\": 0.06271412100983031}, \"status\": \"finished\", \"started\": 1795631650.8995903, \"finished\": 1795631651.9509454, \"error\": null, \"gradient_evaluations\": 18, \"samples\": 360, \"evaluations_to_target\": 12, \"validation_loss\": 0.43663153052330017, \"validation_metric\": 0.7833333611488342, \"test_loss\": null, \"test_metric\": null, \"seconds\": 1.0508178729999145, \"curve\": {\"gradient_evaluations\": [6, 12, 18], \"train_loss\": [0.47142040729522705, 0.3524006207784017, 0.29213249683380127], \"validation_loss\": [0.5152727365493774, 0.46335452795028687, 0.43663153052330017], \"validation_metric\": [0.699999988079071, 0.7333333492279053, 0.7833333611488342]}, \"torch\": \"2.13.0+cpu\", \"device\": \"x86_64\", \"sharpness\": null, \"sharpness_note\": null}"');
INSERT INTO "trial_user_attributes" VALUES(20,2,'record','"{\"workload\": \"clouds\", \"method\": \"own\", \"phase\": \"tune\", \"trial\": 1, \"seed\": 0, \"hyperparameters\": {\"momentum\": 0.5691656908901565, \"lr\": 0.14512468348624694}, \"status\": \"finished\", \"started\": 1795631652.0149338, \"finished\": 1795631652.7838867, \"error\": null, \"gradient_evaluations\": 18, \"samples\": 360, \"evaluations_to_target\": 6, \"validation_loss\": 0.42157766222953796, \"validation_metric\": 0.800000011920929, \"test_loss\": null, \"test_metric\": null, \"seconds\": 0.7681039970000256, \"curve\": {\"gradient_evaluations\": [6, 12, 18], \"train_loss\": [0.44402674833933514, 0.3305959105491638, 0.2911633054415385], \"validation_loss\": [0.48688805103302, 0.44055482745170593, 0.42157766222953796], \"validation_metric\": [0.7166666388511658, 0.75, 0.800000011920929]}, \"torch\": \"2.13.0+cpu\", \"device\": \"x86_64\", \"sharpness\": null, \"sharpness_note\": null}"');
INSERT INTO "trial_user_attributes" VALUES(21,11,'record','"{\"workload\": \"clouds\", \"method\": \"sgd\", \"phase\": \"tune\", \"trial\": 2, \"seed\": 0, \"hyperparameters\": {\"lr\": 0.011152323011047068}, \"status\": \"finished\", \"started\": 1795631652.8348932, \"finished\": 1795631653.6548243, \"error\": null, \"gradient_evaluations\": 18, \"samples\": 360, \"evaluations_to_target\": null, \"validation_loss\": 0.5461851358413696, \"validation_metric\": 0.6666666865348816, \"test_loss\": null, \"test_metric\": null, \"seconds\": 0.8193140260000291, \"curve\": {\"gradient_evaluations\": [6, 12, 18], \"train_loss\": [0.5155712366104126, 0.4730049769083659, 0.44021062056223553], \"validation_loss\": [0.5835829377174377, 0.5564611554145813, 0.5461851358413696], \"validation_metric\": [0.699999988079071, 0.6833333373069763, 0.6666666865348816]}, \"torch\": \"2.13.0+cpu\", \"device\": \"x86_64\", \"sharpness\": null, \"sharpness_note\": null}"');
INSERT INTO "trial_user_attributes" VALUES(22,3,'record','"{\"workload\": \"clouds\", \"method\": \"own\", \"phase\": \"tune\", \"trial\": 2, \"seed\": 0, \"hyperparameters\": {\"momentum\": 0.3316656908901564, \"lr\": 0.01451246834862469}, \"status\": \"finished\", \"started\": 1795631653.718671, \"finished\": 1795631654.6104512, \"error\": null, \"gradient_evaluations\": 18, \"samples\": 360, \"evaluations_to_target\": null, \"validation_loss\": 0.5785886645317078, \"validation_metric\": 0.699999988079071, \"test_loss\": null, \"test_metric\": null, \"seconds\": 0.8908719789999395, \"curve\": {\"gradient_evaluations\": [6, 12, 18], \"train_loss\": [0.5178426106770834, 0.4964096148808797, 0.4851597547531128], \"validation_loss\": [0.5923334360122681, 0.5821235179901123, 0.5785886645317078], \"validation_metric\": [0.6666666865348816, 0.699999988079071, 0.699999988079071]}, \"torch\": \"2.13.0+cpu\", \"device\": \"x86_64\", \"sharpness\": null, \"sharpness_note\": null}"');
INSERT INTO "trial_user_attributes" VALUES(23,12,'record','"{\"workload\": \"clouds\", \"method\": \"sgd\", \"phase\": \"tune\", \"trial\": 3, \"seed\": 0, \"hyperparameters\": {\"lr\": 0.3526674191681589}, \"status\": \"finished\", \"started\": 1795631654.8140361, \"finished\": 1795631655.6305125, \"error\": null, \"gradient_evaluations\": 18, \"samples\": 360, \"evaluations_to_target\": 6, \"validation_loss\": 0.2827416658401489, \"validation_metric\": 0.8999999761581421, \"test_loss\": null, \"test_metric\": null, \"seconds\": 0.8158694450000894, \"curve\": {\"gradient_evaluations\": [6, 12, 18], \"train_loss\": [0.36969470977783203, 0.18164549271265665, 0.14545419812202454], \"validation_loss\": [0.3790857493877411, 0.29834097623825073, 0.2827416658401489], \"validation_metric\": [0.8666666746139526, 0.8999999761581421, 0.8999999761581421]}, \"torch\": \"2.13.0+cpu\", \"device\": \"x86_64\", \"sharpness\": null, \"sharpness_note\": null}"');
INSERT INTO "trial_user_attributes" VALUES(24,4,'record','"{\"workload\": \"clouds\", \"method\": \"own\", \"phase\": \"tune\", \"trial\": 3, \"seed\": 0, \"hyperparameters\": {\"momentum\": 0.8066656908901564, \"lr\": 0.0031266165248266756}, \"status\": \"finished\", \"started\": 1795631655.6945956, \"finished\": 1795631657.1263318, \"error\": null, \"gradient_evaluations\": 18, \"samples\": 360, \"evaluations_to_target\": null, \"validation_loss\": 0.5921725034713745, \"validation_metric\": 0.6666666865348816, \"test_loss\": null, \"test_metric\": null, \"seconds\": 1.4309887740000704, \"curve\": {\"gradient_evaluations\": [6, 12, 18], \"train_loss\": [0.5251654783884684, 0.5135745604832967, 0.5043835242589315], \"validation_loss\": [0.6028387546539307, 0.5951292514801025, 0.5921725034713745], \"validation_metric\": [0.6666666865348816, 0.6666666865348816, 0.6666666865348816]}, \"torch\": \"2.13.0+cpu\", \"device\": \"x86_64\", \"sharpness\": null, \"sharpness_note\": null}"');
INSERT INTO "trial_user_attributes" VALUES(25,13,'hopeless_at','1');
INSERT INTO "trial_user_attributes" VALUES(26,13,'record','"{\"workload\": \"clouds\", \"method\": \"sgd\", \"phase\": \"tune\", \"trial\": 4, \"seed\": 0, \"hyperparameters\": {\"lr\": 0.0047028956188646664}, \"status\": \"pruned\", \"started\": 1795631657.2554429, \"finished\": 1795631657.670587, \"error\": null, \"gradient_evaluations\": 6, \"samples\": 120, \"evaluations_to_target\": null, \"validation_loss\": 0.5980076193809509, \"validation_metric\": 0.6666666865348816, \"test_loss\": null, \"test_metric\": null, \"seconds\": 0.4145229399998698, \"curve\": {\"gradient_evaluations\": [6], \"train_loss\": [0.5229696035385132], \"validation_loss\": [0.5980076193809509], \"validation_metric\": [0.6666666865348816]}, \"torch\": \"2.13.0+cpu\", \"device\": \"x86_64\", \"sharpness\": null, \"sharpness_note\": null}"');
INSERT INTO "trial_user_attributes" VALUES(27,5,'record','"{\"workload\": \"clouds\", \"method\": \"own\", \"phase\": \"tune\", \"trial\": 4, \"seed\": 0, \"hyperparameters\": {\"momentum\": 0.21291569089015644, \"lr\": 0.3126616524826674}, \"status\": \"finished\", \"started\": 1795631657.7140098, \"finished\": 1795631658.5969532, \"error\": null, \"gradient_evaluations\": 18, \"samples\": 360, \"evaluations_to_target\": 6, \"validation_loss\": 0.39429932832717896, \"validation_metric\": 0.8500000238418579, \"test_loss\": null, \"test_metric\": null, \"seconds\": 0.8821814450000147, \"curve\": {\"gradient_evaluations\": [6, 12, 18], \"train_loss\": [0.4135349591573079, 0.3026130596796672, 0.267845094203949], \"validation_loss\": [0.45226946473121643, 0.40882012248039246, 0.39429932832717896], \"validation_metric\": [0.75, 0.8166666626930237, 0.8500000238418579]}, \"torch\": \"2.13.0+cpu\", \"device\": \"x86_64\", \"sharpness\": null, \"sharpness_note\": null}"');
INSERT INTO "trial_user_attributes" VALUES(28,14,'record','"{\"workload\": \"clouds\", \"method\": \"sgd\", \"phase\": \"tune\", \"trial\": 5, \"seed\": 0, \"hyperparameters\": {\"lr\": 0.1487186175363948}, \"status\": \"finished\", \"started\": 1795631658.7202682, \"finished\": 1795631659.5544996, \"error\": null, \"gradient_evaluations\": 18, \"samples\": 360, \"evaluations_to_target\": 6, \"validation_loss\": 0.3403921127319336, \"validation_metric\": 0.8999999761581421, \"test_loss\": null, \"test_metric\": null, \"seconds\": 0.8335661349999555, \"curve\": {\"gradient_evaluations\": [6, 12, 18], \"train_loss\": [0.4276178280512492, 0.26612581809361774, 0.19887121518452963], \"validation_loss\": [0.4616670310497284, 0.3794724643230438, 0.3403921127319336], \"validation_metric\": [0.75, 0.8500000238418579, 0.8999999761581421]}, \"torch\": \"2.13.0+cpu\", \"device\": \"x86_64\", \"sharpness\": null, \"sharpness_note\": null}"');
INSERT INTO "trial_user_attributes" VALUES(29,6,'hopeless_at','2');
INSERT INTO "trial_user_attributes" VALUES(30,6,'record','"{\"workload\": \"clouds\", \"method\": \"own\", \"phase\": \"tune\", \"trial\": 5, \"seed\": 0, \"hyperparameters\": {\"momentum\": 0.6879156908901564, \"lr\": 0.031266165248266746}, \"status\": \"pruned\", \"started\": 1795631659.6139953, \"finished\": 1795631660.7670748, \"error\": null, \"gradient_evaluations\": 12, \"samples\": 240, \"evaluations_to_target\": null, \"validation_loss\": 0.5335152745246887, \"validation_metric\": 0.6833333373069763, \"test_loss\": null, \"test_metric\": null, \"seconds\": 1.1521973530000196, \"curve\": {\"gradient_evaluations\": [6, 12], \"train_loss\": [0.5004401206970215, 0.4393006960550944], \"validation_loss\": [0.56143718957901, 0.5335152745246887], \"validation_metric\": [0.6833333373069763, 0.6833333373069763]}, \"torch\": \"2.13.0+cpu\", \"device\": \"x86_64\", \"sharpness\": null, \"sharpness_note\": null}"');
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
INSERT INTO "trial_values" VALUES(1,9,0,6.66666686534881591796e-01,'FINITE');
INSERT INTO "trial_values" VALUES(2,1,0,6.66666686534881591796e-01,'FINITE');
INSERT INTO "trial_values" VALUES(3,10,0,7.83333361148834228515e-01,'FINITE');
INSERT INTO "trial_values" VALUES(4,2,0,0.800000011920929,'FINITE');
INSERT INTO "trial_values" VALUES(5,11,0,6.66666686534881591796e-01,'FINITE');
INSERT INTO "trial_values" VALUES(6,3,0,0.699999988079071,'FINITE');
INSERT INTO "trial_values" VALUES(7,12,0,8.99999976158142089843e-01,'FINITE');
INSERT INTO "trial_values" VALUES(8,4,0,6.66666686534881591796e-01,'FINITE');
INSERT INTO "trial_values" VALUES(9,5,0,8.50000023841857910156e-01,'FINITE');
INSERT INTO "trial_values" VALUES(10,14,0,8.99999976158142089843e-01,'FINITE');
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
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-11-25 18:34:09.440915','2026-11-25 18:34:11.201243');
INSERT INTO "trials" VALUES(2,1,1,'COMPLETE','2026-11-25 18:34:11.952870','2026-11-25 18:34:12.988280');
INSERT INTO "trials" VALUES(3,2,1,'COMPLETE','2026-11-25 18:34:13.657434','2026-11-25 18:34:15.002067');
INSERT INTO "trials" VALUES(4,3,1,'COMPLETE','2026-11-25 18:34:15.632570','2026-11-25 18:34:17.357286');
INSERT INTO "trials" VALUES(5,4,1,'COMPLETE','2026-11-25 18:34:17.676535','2026-11-25 18:34:18.863936');
INSERT INTO "trials" VALUES(6,5,1,'PRUNED','2026-11-25 18:34:19.572815','2026-11-25 18:34:20.952387');
INSERT INTO "trials" VALUES(7,6,1,'WAITING',NULL,NULL);
INSERT INTO "trials" VALUES(8,7,1,'WAITING',NULL,NULL);
INSERT INTO "trials" VALUES(9,0,2,'COMPLETE','2026-11-25 18:33:45.227341','2026-11-25 18:34:09.761899');
INSERT INTO "trials" VALUES(10,1,2,'COMPLETE','2026-11-25 18:34:10.828093','2026-11-25 18:34:12.241336');
INSERT INTO "trials" VALUES(11,2,2,'COMPLETE','2026-11-25 18:34:12.794245','2026-11-25 18:34:13.909461');
INSERT INTO "trials" VALUES(12,3,2,'COMPLETE','2026-11-25 18:34:14.616657','2026-11-25 18:34:15.833059');
INSERT INTO "trials" VALUES(13,4,2,'PRUNED','2026-11-25 18:34:17.148552','2026-11-25 18:34:17.780394');
INSERT INTO "trials" VALUES(14,5,2,'COMPLETE','2026-11-25 18:34:18.627848','2026-11-25 18:34:19.883326');
INSERT INTO "trials" VALUES(15,6,2,'WAITING','2026-11-25 18:34:20.772479',NULL);
INSERT INTO "trials" VALUES(16,7,2,'WAITING',NULL,NULL);
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
