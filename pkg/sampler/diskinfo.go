package sampler

import "github.com/cloudless-fleet/cloudless/pkg/kernel"

// udevInfo is what udev has found out about a disk. All of it is empty on a
// host without udev. Comparable.
type udevInfo struct {
	path, wwn, model, serial, revision  string
	fsType, fsUsage, fsUUID, fsVersion  string
	dmName, dmUUID, dmVG, dmLV, dmLayer string
	isATA                               bool
	ata                                 [3]string // write cache, enabled, rotation rate
}

// readUdev reads the properties that the udev rules 60-persistent-storage and
// 10-dm leave in the database.
func (c *diskstats) readUdev(r *round, disk diskShape) udevInfo {
	content, err := r.read(c.fs.UdevFile(disk.major, disk.minor))
	if err != nil {
		return udevInfo{}
	}
	p := kernel.ParseUdev(content)
	info := udevInfo{
		path: p["ID_PATH"], wwn: p["ID_WWN"], model: p["ID_MODEL"], revision: p["ID_REVISION"],
		fsType: p["ID_FS_TYPE"], fsUsage: p["ID_FS_USAGE"], fsUUID: p["ID_FS_UUID"], fsVersion: p["ID_FS_VERSION"],
		dmName: p["DM_NAME"], dmUUID: p["DM_UUID"], dmVG: p["DM_VG_NAME"], dmLV: p["DM_LV_NAME"], dmLayer: p["DM_LV_LAYER"],
		isATA: p["ID_ATA"] != "",
		ata:   [...]string{p["ID_ATA_WRITE_CACHE"], p["ID_ATA_WRITE_CACHE_ENABLED"], p["ID_ATA_ROTATION_RATE_RPM"]},
	}
	// What is printed on the disk's label; else what identifies it; else what
	// virtual disks have.
	for _, name := range [...]string{"SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL"} {
		if info.serial = p[name]; info.serial != "" {
			break
		}
	}
	return info
}
