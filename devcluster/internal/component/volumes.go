package component

import (
	"context"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"plimsoll.dev/devcluster/internal/simulate"
)

// serveVolumes makes the volumes that claims of the default storage class ask for, and removes them when their
// claims are gone. What fails is tried again with the next change of the object.
func serveVolumes(ctx context.Context, client kubernetes.Interface) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	if err := onChange(factory.Core().V1().PersistentVolumeClaims().Informer(), func(claim *corev1.PersistentVolumeClaim) error {
		volume := simulate.Volume(claim)
		if volume == nil {
			return nil
		}
		_, err := client.CoreV1().PersistentVolumes().Create(ctx, volume, metav1.CreateOptions{})
		if errors.IsAlreadyExists(err) {
			return nil
		}
		return err
	}); err != nil {
		return err
	}
	if err := onChange(factory.Core().V1().PersistentVolumes().Informer(), func(volume *corev1.PersistentVolume) error {
		if !simulate.Reclaimed(volume) {
			return nil
		}
		err := client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, metav1.DeleteOptions{})
		if errors.IsNotFound(err) {
			return nil
		}
		return err
	}); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	return nil
}

// onChange calls an action for each object that appears or changes.
func onChange[T any](informer cache.SharedIndexInformer, act func(*T) error) error {
	handle := func(object any) {
		if typed, ok := object.(*T); ok {
			if err := act(typed); err != nil {
				fmt.Fprintf(os.Stderr, "failed to serve a volume: %v\n", err)
			}
		}
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    handle,
		UpdateFunc: func(_, object any) { handle(object) },
	})
	if err != nil {
		return fmt.Errorf("watch volumes: %w", err)
	}
	return nil
}
