package simulate

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestVolumeWaitsForTheFirstPod(t *testing.T) {
	class := "standard"
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "data", Namespace: "shop", UID: "u-1", Annotations: map[string]string{provisionerAnnotation: Provisioner}},
		Spec:       corev1.PersistentVolumeClaimSpec{StorageClassName: &class},
	}
	if Volume(claim) != nil {
		t.Error("a claim without a pod was given a volume")
	}
	claim.Annotations[selectedNodeAnnotation] = "node-1"
	volume := Volume(claim)
	if volume == nil || volume.Spec.ClaimRef.Name != "data" || volume.Spec.StorageClassName != class {
		t.Fatalf("got %+v", volume)
	}
	volume.Status.Phase = corev1.VolumeBound
	if Reclaimed(volume) {
		t.Error("a volume in use was reclaimed")
	}
	volume.Status.Phase = corev1.VolumeReleased
	if !Reclaimed(volume) {
		t.Error("a released volume was not reclaimed")
	}
	claim.Spec.VolumeName = volume.Name
	if Volume(claim) != nil {
		t.Error("a bound claim was given another volume")
	}
	claim.Spec.VolumeName, claim.Annotations[provisionerAnnotation] = "", "someone.else/provisioner"
	if Volume(claim) != nil {
		t.Error("someone else's claim was given a volume")
	}
}
