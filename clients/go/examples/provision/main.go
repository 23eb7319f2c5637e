// Brings a customer into Gatepass. Run it again at any time, or with "leave" to end it.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	gatepass "gatepass/clients/go"
)

// Your ids.
const customer, shop = "customer-42", "shops/7"

func main() {
	admin, err := gatepass.NewAdmin(os.Getenv("GATEPASS_URL"), os.Getenv("GATEPASS_ADMIN_KEY"), nil)
	if err == nil {
		err = provision(context.Background(), admin, len(os.Args) > 1 && os.Args[1] == "leave")
	}
	var refused *gatepass.Error
	if errors.As(err, &refused) {
		for _, each := range refused.Errors {
			log.Printf("%s: %s", each.Field, each.Message)
		}
	}
	if err != nil {
		log.Fatal(err)
	}
}

func provision(ctx context.Context, admin *gatepass.Admin, leaves bool) error {
	company, err := admin.Companies.Put(ctx, customer, "Turin Shoes")
	if err != nil {
		return err
	}
	owner, err := admin.Owners.Put(ctx, company.ID, shop, gatepass.NewOwner{
		Type: "external", Name: "Shop in Turin", Role: "customer-service",
	})
	if err != nil {
		return err
	}
	filters := gatepass.AccessTokenFilters{Status: "active", Owner: owner.ID}
	active, err := admin.AccessTokens.List(company.ID, filters).All(ctx)
	if err != nil {
		return err
	}
	if len(active) == 0 {
		made, err := admin.AccessTokens.Create(ctx, company.ID, gatepass.NewAccessToken{
			Owner: gatepass.OwnerReference{ID: owner.ID},
			Label: "Till", Kind: "api", Permissions: []string{"charges:get"},
		}, gatepass.IdempotencyKey("till-of-"+owner.ID))
		if err != nil {
			return err
		}
		// Hand it over: no later answer has it.
		fmt.Println("token:", made.Token.Reveal())
		active = append(active, made.AccessToken)
	}
	for _, each := range active {
		changes := gatepass.AccessTokenChanges{Label: gatepass.Set("Till 1")}
		token, err := admin.AccessTokens.Modify(ctx, company.ID, each.ID, changes)
		if err != nil {
			return err
		}
		fmt.Println("active:", token.Label, "of", *token.Owner.ExternalID)
	}
	if !leaves {
		return nil
	}
	// Ends all that the company owns.
	ended, err := admin.Companies.Deactivate(ctx, gatepass.External(customer))
	if err == nil {
		fmt.Println("company:", ended.Status)
	}
	return err
}
